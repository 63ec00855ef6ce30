"""Splits: images and labels in a fixed order, and the split of a data set into three parts."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from bench.errors import CrossfireError

HELDOUT = 0.1
"""Share of the training set on which checkpoints are selected."""


@dataclass(frozen=True)
class Split:
    """Images (n, c, h, w) as uint8 and their labels (n,) as int64, in a fixed order.

    Raises:
        CrossfireError: images are of another type or number of axes.
    """

    images: UInt8[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise CrossfireError(
                f"images are {self.images.dtype} of shape {tuple(self.images.shape)}; "
                "make them a torch.uint8 tensor (n, c, h, w) with pixels from 0 to 255"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def take(self, n: int | None) -> "Split":
        """The first `n` examples; all of them when `n` is None.

        Raises:
            CrossfireError: `n` is not positive, or there are fewer examples.
        """
        if n is None:
            return self
        if not 0 < n <= len(self):
            raise CrossfireError(
                f"there are {len(self)} examples; choose between 1 and {len(self)}"
            )
        return self.select(torch.arange(n))

    def select(self, indices: Int[Tensor, " m"]) -> "Split":
        """The examples at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices])

    def floats(self) -> Float[Tensor, "n c h w"]:
        """The images as float32 in [0, 1]."""
        return floats(self.images)

    def sha256(self) -> str:
        """The hash of shape, pixels and labels, in hexadecimal."""
        return sha256(self.images, self.labels)


@dataclass(frozen=True)
class Dataset:
    """A named data set. Defenses train on `train`, select on `heldout`, and never use `test`.

    `train` and `heldout` are parts of the split that `read_training` reads. It is called when one
    of them is first used, because an evaluation needs neither.
    """

    name: str
    classes: int
    read_training: Callable[[], Split]
    test: Split

    @classmethod
    def divide(
        cls, name: str, classes: int, train: Split | Callable[[], Split] | None, test: Split
    ) -> "Dataset":
        """The data set whose training data `train`, or a function that reads it, are split into
        `heldout`, a fixed tenth of every class, and the rest; None is no training data.

        Raises:
            CrossfireError: a label lies outside [0, classes); one of `train`, when that is used.
        """
        check_labels(name, classes, test.labels)
        split = test.select(torch.arange(0)) if train is None else train
        return cls(name, classes, split if callable(split) else lambda: split, test)

    @cached_property
    def train(self) -> Split:
        """The training data without `heldout`."""
        return self._parts[0]

    @cached_property
    def heldout(self) -> Split:
        """A fixed tenth of every class of the training data."""
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[Split, Split]:
        split = self.read_training()
        check_labels(self.name, self.classes, split.labels)
        held, kept = stratified(split.labels, HELDOUT)
        return split.select(kept), split.select(held)

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.test.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.test.shape[1:]


def check_labels(name: str, classes: int, labels: Int[Tensor, " n"]) -> None:
    """Check that labels are class numbers.

    Raises:
        CrossfireError: one lies outside [0, classes).
    """
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise CrossfireError(f"labels of '{name}' must be whole numbers from 0 to {classes - 1}")


def floats(images: Shaped[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Images as float32; uint8 becomes [0, 1]."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def outside_box(images: Float[Tensor, "n *shape"]) -> str | None:
    """What to do about pixels outside [0, 1] by more than rounding; None if there are none."""
    if not images.numel():
        return None
    low, high = float(images.min()), float(images.max())
    if low >= -1e-6 and high <= 1 + 1e-6:  # false for NaN
        return None
    advice = "divide them by 255" if low >= 0 and high > 2 else "give raw pixels in [0, 1]"
    return f"images range from {low:.4g} to {high:.4g}; {advice} and normalise inside the model"


def sha256(images: Shaped[Tensor, "n c h w"], labels: Int[Tensor, " n"]) -> str:
    """The hash of shape, pixels and labels, in hexadecimal: the identity of data."""
    digest = hashlib.sha256(str(tuple(images.shape)).encode())
    digest.update(images.contiguous().numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()


def shuffled(n: int) -> Int[Tensor, " n"]:
    """A permutation of 0..n-1, the same one on every machine and for every version of NumPy."""
    # RandomState's stream is frozen by NumPy's policy (NEP 19); that of default_rng is not.
    return torch.from_numpy(np.random.RandomState(0).permutation(n))


def stratified(
    labels: Int[Tensor, " n"], share: float
) -> tuple[Int[Tensor, " m"], Int[Tensor, " k"]]:
    """Two sets of indices, both ascending: `share` of every class, rounded, and the rest. If the
    classes are too small for that, the first set is `share` of all, but at least one."""
    order = shuffled(len(labels))
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in np.unique(labels.numpy()):
        members = order[labels[order] == label]
        chosen[members[: round(share * len(members))]] = True
    if not chosen.any():
        chosen[order[: max(1, round(share * len(labels)))]] = True
    return chosen.nonzero().flatten(), chosen.logical_not().nonzero().flatten()

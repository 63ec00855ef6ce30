"""Batches: order and augmentation of the examples depend on seed, epoch and step only.

A run that is resumed after a kill, or uses several devices, therefore trains on the same batches.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bench.compute import random_streams
from bench.data.splits import Split, floats
from bench.types import Images, Labels

Augmentation = Literal["crop-flip", "crop", "none"]
PAD = 4
"""Pixels of black border within which an image is shifted, as all training on CIFAR does."""


@dataclass(frozen=True)
class Batch:
    """The batch of one step. `keys` name the random streams of its examples in this epoch."""

    x: Images
    y: Labels
    keys: Int[Tensor, " n"]
    seed: int
    epoch: int
    step: int
    steps: int

    @property
    def last(self) -> bool:
        """Whether it is the last batch of its epoch."""
        return self.step == self.steps - 1

    def uniform(self, purpose: str) -> Float[Tensor, "n c h w"]:
        """Numbers in (0, 1) of the shape of x, different for each example, epoch and purpose."""
        return random_streams.uniform(random_streams.fold(self.keys, purpose), *self.x.shape[1:])

    def draw(self, *weights: float) -> int:
        """An index drawn in proportion to `weights`, one for the whole batch on every device."""
        key = random_streams.keys(self.seed, torch.tensor([self.epoch]), "draw", self.step)
        edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)
        point = random_streams.uniform(key, 1).double().flatten() * edges[-1]
        return int(torch.searchsorted(edges, point, right=True))


class Batches:
    """The batches of every epoch, from images that are kept on the device as bytes.

    A remainder smaller than `size` is left out of the epoch. Of several devices, device `rank` of
    `world` holds every `world`-th example of each batch.
    """

    def __init__(
        self,
        split: Split,
        size: int,
        *,
        seed: int,
        augment: Augmentation,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        pad = 0 if augment == "none" else PAD
        self._images = F.pad(split.images, (pad, pad, pad, pad)).to(device)
        self._labels = split.labels.to(device)
        self._height, self._width = split.images.shape[2:]
        self._size, self._seed, self._augment = min(size, len(split)), seed, augment
        self._rank, self._world = rank, world
        self.steps = len(split) // self._size

    def __call__(self, epoch: int, step: int) -> Batch:
        """Batch `step` of `epoch`, both from 0."""
        order = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        permutation = torch.randperm(len(self._labels), generator=order)
        chosen = permutation[step * self._size : (step + 1) * self._size]
        chosen = chosen[self._rank :: self._world].to(self._labels.device)
        keys = random_streams.keys(self._seed, chosen, "train", epoch)
        x = self._crops(chosen, keys) if self._augment != "none" else self._images[chosen]
        y = self._labels[chosen]
        return Batch(floats(x), y, keys, self._seed, epoch, step, self.steps)

    def _crops(self, chosen: Int[Tensor, " n"], keys: Int[Tensor, " n"]) -> Tensor:
        """Shifted and mirrored images, uint8 (n, c, h, w), by one gather operation."""
        device = chosen.device
        u = random_streams.uniform(random_streams.fold(keys, "augment"), 3)
        shift = (u[:, :2] * (2 * PAD + 1)).long()
        rows = torch.arange(self._height, device=device) + shift[:, :1]
        columns = torch.arange(self._width, device=device).expand(len(chosen), -1)
        if self._augment == "crop-flip":
            columns = torch.where(u[:, 2:] < 0.5, columns.flip(1), columns)
        columns = columns + shift[:, 1:]
        channels = torch.arange(self._images.shape[1], device=device)
        return self._images[
            chosen[:, None, None, None],
            channels[:, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]

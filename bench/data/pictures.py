"""Pictures that are decoded when they are first used, so that only the used ones are decoded."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from bench.data.splits import Dataset, Split
from bench.errors import CrossfireError

GREY = {"1", "L", "LA"}
DEEP = {"I", "F"}
TESTS = ("test", "testing", "val", "valid", "validation")
"""Names of the split for testing, the preferred one first."""
TRAININGS = ("train", "training")
"""Names of the split for training, the preferred one first."""
CROP = 224 / 256
"""Share of the shorter side that the centre crop keeps: ImageNet's evaluation since 2012."""


@dataclass(frozen=True)
class Form:
    """The common shape of all pictures of a data set; with `crop` they are scaled and cropped."""

    channels: int
    height: int
    width: int
    crop: bool

    @classmethod
    def common(cls, headers: list[tuple[str, tuple[int, int]]], size: int | None) -> "Form":
        """The form for pictures of these modes and (width, height).

        Grey pictures stay grey only if all are. With `size`, the shorter side is scaled to
        size / CROP and the centre of size x size is cut out.

        Raises:
            CrossfireError: their sizes differ and no size is given, or they have 16 or 32 bits.
        """
        modes, sizes = {mode for mode, _ in headers}, {dimensions for _, dimensions in headers}
        if any(mode[0] in DEEP for mode in modes):
            raise CrossfireError("a picture has more than 8 bits a channel; convert it to 8 bits")
        channels = 1 if modes <= GREY else 3
        if size is not None:
            return cls(channels, size, size, crop=True)
        if len(sizes) > 1:
            (w, h), (v, g) = sorted(sizes)[:2]
            raise CrossfireError(
                f"the pictures have several sizes, such as {w}x{h} and {v}x{g}; "
                "add one that fits the model, for example @224"
            )
        ((width, height),) = sizes
        return cls(channels, height, width, crop=False)

    def pixels(self, picture: Image.Image) -> UInt8[np.ndarray, "c h w"]:
        """The picture as uint8."""
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        if self.crop:
            picture = _centre(picture, self.height)
        return np.asarray(picture).reshape(self.height, self.width, -1).transpose(2, 0, 1)


@dataclass(frozen=True)
class Stored:
    """Pictures `indices` with their labels; `place(i)` is the file or the bytes of picture i, and
    its name in messages."""

    place: Callable[[int], tuple[Path | BytesIO, str]]
    indices: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]

    def headers(self) -> list[tuple[str, tuple[int, int]]]:
        """Mode and (width, height) of each, without decoding.

        Raises:
            CrossfireError: one is not a picture.
        """
        return [header(*self.place(index)) for index in self.indices.tolist()]

    def select(self, rows: Int[Tensor, " m"]) -> "Stored":
        """The pictures in these rows."""
        return Stored(self.place, self.indices[rows], self.labels[rows])


class Pictures(Split):
    """A split whose images are decoded on first use, on all cores."""

    def __init__(self, stored: Stored, form: Form) -> None:
        # The base class is frozen; `images` is the property below.
        vars(self).update(stored=stored, form=form, labels=stored.labels)

    stored: Stored
    form: Form

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width, without decoding."""
        return self.form.channels, self.form.height, self.form.width

    @cached_property
    def images(self) -> UInt8[Tensor, "n c h w"]:
        """The decoded pictures."""
        found = np.empty((len(self), *self.shape), np.uint8)

        def fill(row: int) -> None:
            found[row] = self.form.pixels(decode(*self.stored.place(int(self.stored.indices[row]))))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, range(len(self))))
        return torch.from_numpy(found)

    def select(self, indices: Int[Tensor, " m"]) -> "Pictures":
        """The pictures at `indices`, not decoded yet."""
        return Pictures(self.stored.select(indices), self.form)


def divide(
    name: str, classes: int, size: int | None, test: Stored, train: Callable[[], Stored] | None
) -> Dataset:
    """The data set of these pictures, in the form of `test`; those of `train` are opened when they
    are first used.

    Raises:
        CrossfireError: pictures have no common form (of `train`, when that is used), or labels
            are not class numbers.
    """
    headers = test.headers()
    form = Form.common(headers, size)

    def checked(train: Callable[[], Stored]) -> Split:
        stored = train()
        if Form.common([*headers, *stored.headers()], size) != form:
            raise CrossfireError(
                f"{name} has training pictures in colour and only grey ones for testing; "
                "convert all to grey, or one of these to colour"
            )
        return Pictures(stored, form)

    reading = partial(checked, train) if train else None
    return Dataset.divide(name, classes, reading, Pictures(test, form))


def header(source: Path | BytesIO, name: str) -> tuple[str, tuple[int, int]]:
    """Mode and (width, height) of a picture, without decoding it.

    Raises:
        CrossfireError: it is not a picture; `name` names it in the message.
    """
    with _reading(name), Image.open(source) as picture:
        return picture.mode, picture.size


def decode(source: Path | BytesIO, name: str) -> Image.Image:
    """The decoded picture.

    Raises:
        CrossfireError: it is damaged; `name` names it in the message.
    """
    with _reading(name), Image.open(source) as picture:
        picture.load()
        return picture


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CrossfireError(f"{name} is not a complete picture ({error}); replace it") from error


def _centre(picture: Image.Image, size: int) -> Image.Image:
    scale = size / CROP / min(picture.size)
    width, height = (max(size, round(side * scale)) for side in picture.size)
    left, top = (width - size) // 2, (height - size) // 2
    scaled = picture.resize((width, height), Image.Resampling.BILINEAR)
    return scaled.crop((left, top, left + size, top + size))

"""Data sets from arrays: the embedded digits, and a user's own NumPy file."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from numpy.lib.npyio import NpzFile

from bench.data.paths import expanded
from bench.data.splits import Dataset, Split, shuffled, stratified
from bench.errors import CrossfireError

TRAINING = ("x_train", "y_train")
TEST = ("x_test", "y_test")
CHANNELS = (1, 3)

Shape = tuple[int, ...]

_UNREADABLE = (
    *(OSError, ValueError, TypeError, EOFError, AttributeError, KeyError),
    *(RuntimeError, MemoryError, BadZipFile, TokenError, zlib.error),
)
"""What numpy raises for files that aren't .npz files, or damaged ones."""


def load_digits() -> Dataset:
    """The 1,797 grey 8x8 images of handwritten digits that scikit-learn carries.

    Their 17 shades become uint8 as round(v * 255 / 16); a fixed, stratified quarter is the test.
    """
    # The file is read directly, because importing scikit-learn takes longer than all the rest.
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), delimiter=",")
    shades, labels = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
    pixels = np.round(shades * (255 / 16)).astype(np.uint8)
    # The original order is by writer and digit; after shuffling every prefix is a fair sample.
    order = shuffled(len(pixels))
    examples = Split(torch.from_numpy(pixels), torch.from_numpy(labels)).select(order)
    test, train = stratified(examples.labels, 0.25)
    return Dataset.divide("digits", 10, examples.select(train), examples.select(test))


def load_npz(path: Path) -> Dataset:
    """A file of x_test, y_test and, to train, x_train, y_train: uint8 images (n, h, w[, c]) and
    labels (n,).

    `classes` in the file is the number of classes; by default it is the highest label + 1. Of
    x_train, most of the file, only the header is read until the training data is used.

    Raises:
        CrossfireError: the file is missing or damaged, or an array is not of that kind.
    """
    name, path = f"npz:{path}", expanded(path)
    with _opened(path) as file:
        trains = any(key in file for key in TRAINING)
        missing = [key for key in (*TEST, *(TRAINING if trains else ())) if key not in file]
        if missing:
            raise CrossfireError(
                f"{path} has no {', '.join(missing)}; it must hold {', '.join(TEST)} "
                f"and, to train, {', '.join(TRAINING)}"
            )
        images, labels, given = file["x_test"], file["y_test"], file.get("classes")
        _check(path, "test", images.shape, images.dtype, labels)
        if not len(labels):
            raise CrossfireError(f"x_test in {path} holds no images; store one or more")
        y_train = _training_labels(path, file, images.shape) if trains else labels[:0]
        if images.max() <= 1:
            raise CrossfireError(f"pixels of x_test in {path} are 0 and 1; store 0 to 255")
    test = _split(images, labels)

    def train() -> Split:
        with _opened(path) as file:
            return _split(file["x_train"], y_train)

    classes = _classes(path, given, int(np.concatenate([labels, y_train]).max()))
    return Dataset.divide(name, classes, train if len(y_train) else None, test)


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            yield file
    except FileNotFoundError:
        raise CrossfireError(f"there is no file {path}; name an .npz file that exists") from None
    except _UNREADABLE as bad:
        raise CrossfireError(f"{path} is not a readable .npz file: {bad}") from None


def _header(path: Path, key: str) -> tuple[Shape, np.dtype[Any]]:
    """Shape and type of an array, without its content."""
    with ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
        first = np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    return shape, dtype


def _training_labels(path: Path, file: NpzFile, test: Shape) -> np.ndarray:
    """The labels of x_train, whose header is compared with the shape of x_test."""
    (shape, dtype), labels = _header(path, "x_train"), file["y_train"]
    _check(path, "train", shape, dtype, labels)
    if _channels_last(shape)[1:] != _channels_last(test)[1:]:
        raise CrossfireError(f"x_train and x_test in {path} hold images of different shapes")
    return labels


def _classes(path: Path, given: np.ndarray | None, highest: int) -> int:
    if given is None:
        return highest + 1
    if given.shape or not np.issubdtype(given.dtype, np.integer) or given <= highest:
        raise CrossfireError(f"classes in {path} must be one whole number above {highest}")
    return int(given)


def _channels_last(shape: Shape) -> Shape:
    """Grey images may lack the last axis."""
    return (*shape, 1) if len(shape) == 3 else shape


def _check(path: Path, part: str, shape: Shape, dtype: np.dtype[Any], y: np.ndarray) -> None:
    if dtype != np.uint8:
        raise CrossfireError(f"x_{part} in {path} is {dtype}; store pixels as uint8 from 0 to 255")
    full = _channels_last(shape)
    if len(full) != 4 or full[3] not in CHANNELS:
        raise CrossfireError(
            f"x_{part} in {path} has shape {full}; store (n, height, width, 1 or 3)"
        )
    if not np.issubdtype(y.dtype, np.integer) or y.shape != full[:1]:
        raise CrossfireError(
            f"y_{part} in {path} must hold one whole number for each of {full[0]} images"
        )


def _split(x: np.ndarray, y: np.ndarray) -> Split:
    pixels = np.ascontiguousarray(x.reshape(_channels_last(x.shape)).transpose(0, 3, 1, 2))
    return Split(torch.from_numpy(pixels), torch.from_numpy(y.astype(np.int64)))

"""Data sets that arrive as arrays: the embedded digits, and a user's own NumPy file."""

import zipfile
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import torch

from bench.data.splits import Dataset, Split, shuffled, stratified
from bench.errors import CrossfireError

KEYS = ("x_train", "y_train", "x_test", "y_test")
CHANNELS = (1, 3)


def load_digits() -> Dataset:
    """The 1,797 grey 8x8 images of handwritten digits that scikit-learn carries.

    Their 17 shades become uint8 as round(v * 255 / 16); a fixed, stratified quarter is the test.
    """
    # Read where it lies: importing scikit-learn takes longer than everything else about digits.
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), delimiter=",")
    shades, labels = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
    pixels = np.round(shades * (255 / 16)).astype(np.uint8)
    # The original order runs through ten writers' digits 0 to 9; mixing it makes every prefix fair.
    order = shuffled(len(pixels))
    whole = Split(torch.from_numpy(pixels), torch.from_numpy(labels)).select(order)
    test, train = stratified(whole.labels, 0.25)
    return Dataset.divide("digits", 10, whole.select(train), whole.select(test))


def load_npz(path: Path) -> Dataset:
    """A file of x_train, y_train, x_test, y_test: uint8 images (n, h, w[, c]) and labels (n,).

    Raises:
        CrossfireError: the file is missing or damaged, or an array is not of that kind.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [key for key in KEYS if key not in file]
            if missing:
                raise CrossfireError(
                    f"{path} has no {', '.join(missing)}; it must hold {', '.join(KEYS)}"
                )
            x_train, y_train, x_test, y_test = (file[key] for key in KEYS)
    except FileNotFoundError:
        raise CrossfireError(f"there is no file {path}; name an .npz file that exists") from None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise CrossfireError(f"{path} is not a readable .npz file: {error}") from None
    train, test = _split(path, "train", x_train, y_train), _split(path, "test", x_test, y_test)
    if train.images.shape[1:] != test.images.shape[1:]:
        raise CrossfireError(f"x_train and x_test in {path} hold images of different shapes")
    classes = int(max(y_train.max(), y_test.max())) + 1
    return Dataset.divide(f"npz:{path}", classes, train, test)


def _split(path: Path, part: str, x: np.ndarray, y: np.ndarray) -> Split:
    if x.dtype != np.uint8:
        raise CrossfireError(
            f"x_{part} in {path} is {x.dtype}; store pixels as uint8 from 0 to 255"
        )
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[3] not in CHANNELS:
        raise CrossfireError(
            f"x_{part} in {path} has shape {x.shape}; store (n, height, width, 1 or 3)"
        )
    if not np.issubdtype(y.dtype, np.integer) or y.shape != (len(x),) or not len(x):
        raise CrossfireError(
            f"y_{part} in {path} must hold one whole number for each of {len(x)} images"
        )
    pixels = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return Split(torch.from_numpy(pixels), torch.from_numpy(y.astype(np.int64)))

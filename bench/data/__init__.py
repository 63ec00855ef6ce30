"""On what is measured: images with labels, split once and for all, and named by their hash."""

from pathlib import Path

from bench.data.arrays import load_digits, load_npz
from bench.data.splits import Dataset, Split
from bench.errors import CrossfireError

__all__ = ["Dataset", "Split", "load"]


def load(name: str, *, root: Path | None = None) -> Dataset:
    """The data set that `name` stands for: `digits`, or `npz:FILE`.

    Raises:
        CrossfireError: there is no such data set, or its files are missing or malformed.
    """
    scheme, colon, rest = name.partition(":")
    if name == "digits":
        return load_digits()
    if scheme == "npz" and colon:
        return load_npz(Path(rest))
    raise CrossfireError(f"unknown data set '{name}'; run: bench list datasets")

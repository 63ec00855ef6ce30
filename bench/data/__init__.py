"""Data sets: images with labels, in fixed splits, identified by their hash."""

from pathlib import Path

from bench.data.paths import path_of
from bench.data.splits import Dataset, Split
from bench.errors import CrossfireError, reason, unknown
from bench.plugins.registry import Entry, plugins

__all__ = ["SOURCES", "Dataset", "Split", "load", "path_of"]

SOURCES = {
    "digits": "1,797 grey 8x8 images, embedded; needs no network",
    "cifar10": "torchvision",
    "cifar100": "torchvision",
    "svhn": "torchvision",
    "mnist": "torchvision",
    "fashion-mnist": "torchvision",
    "npz:FILE": "your own arrays x_train, y_train, x_test, y_test",
    "folder:DIR[@SIZE]": "your own pictures, one folder a class",
    "hf:NAME[@SIZE]": "Hugging Face, by name or local folder",
}
"""The names that `load` accepts, and the origin of the data."""


def load(name: str, *, root: Path | None = None) -> Dataset:
    """The data set that `name` stands for: one of `SOURCES`, or one of a plugin.

    `root` is the folder of downloads: by default the folder named by CROSSFIRE_DATA, or else
    ~/.cache/crossfire.

    Raises:
        CrossfireError: there is no such data set, or its files are missing or malformed.
    """
    scheme, _, rest = name.partition(":")
    if rest and scheme in ("npz", "folder", "hf"):
        return _own(scheme, rest)
    if name in SOURCES:
        return _public(name, root)
    offered = plugins("datasets")
    if name not in offered:
        raise unknown("data set", name, SOURCES.keys() | offered.keys())
    return _offered(name, offered[name])


def _own(scheme: str, rest: str) -> Dataset:
    # Imported here, so that one kind of data set loads without the libraries of the others.
    if scheme == "npz":
        from bench.data.arrays import load_npz

        return load_npz(Path(rest))
    if scheme == "folder":
        from bench.data.folder import load_folder

        return load_folder(rest)
    from bench.data.hub import load_hub

    return load_hub(rest)


def _offered(name: str, entry: Entry) -> Dataset:
    make = entry.load()
    try:
        found = make()
    except CrossfireError:
        raise
    except Exception as error:
        raise CrossfireError(
            f"data set '{name}' of {entry.origin} fails ({reason(error)}); update or uninstall it"
        ) from error
    if not isinstance(found, Dataset):
        raise CrossfireError(f"data set '{name}' of {entry.origin} is not a bench.data.Dataset")
    return found


def _public(name: str, root: Path | None) -> Dataset:
    if name == "digits":
        from bench.data.arrays import load_digits

        return load_digits()
    from bench.data.vision import load_vision

    return load_vision(name, root)

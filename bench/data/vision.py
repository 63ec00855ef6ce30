"""Public data sets through torchvision, which downloads them once and checks their checksums."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data.splits import Dataset, Split
from bench.errors import CrossfireError, reason

CLASSES = {
    "cifar10": ("CIFAR10", 10),
    "cifar100": ("CIFAR100", 100),
    "svhn": ("SVHN", 10),
    "mnist": ("MNIST", 10),
    "fashion-mnist": ("FashionMNIST", 10),
}
"""Our name -> torchvision's class and the number of classes."""


def load_vision(name: str, root: Path | None = None) -> Dataset:
    """One of `CLASSES`, from `root` (see `bench.data.load`) or downloaded into it.

    The training data is read, and for svhn downloaded, when it is first used.

    Raises:
        CrossfireError: torchvision doesn't work here, or the files can't be loaded.
    """
    folder = root or Path(os.environ.get("CROSSFIRE_DATA", "~/.cache/crossfire")).expanduser()
    attribute, classes = CLASSES[name]
    kind = getattr(torchvision("datasets", name), attribute)
    option, train, test = ("split", "train", "test") if name == "svhn" else ("train", True, False)

    def read(part: str | bool) -> Split:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return _split(kind(folder, download=True, **{option: part}))
        except (OSError, RuntimeError, ValueError, AssertionError) as error:
            raise CrossfireError(
                f"cannot load {name} into {folder} ({reason(error)}); delete damaged files there, "
                "connect to the network once, or use digits or npz:FILE"
            ) from error

    return Dataset.divide(name, classes, lambda: read(train), read(test))


def torchvision(part: str, name: str) -> Any:  # noqa: ANN401
    """The module torchvision.PART, for the data set or model called `name`.

    Raises:
        CrossfireError: it can't be imported, for example because it was built for another torch.
    """
    try:
        return importlib.import_module(f"torchvision.{part}")
    except (ImportError, OSError, RuntimeError) as error:
        raise CrossfireError(
            f"{name} needs torchvision, which does not work here ({reason(error)}); "
            "install the build that belongs to this torch; digits and npz:FILE do without"
        ) from error


def _split(found: Any) -> Split:  # noqa: ANN401
    labels = found.labels if hasattr(found, "labels") else found.targets
    pixels = torch.as_tensor(np.asarray(found.data))
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.shape[3] == 3:
        pixels = pixels.permute(0, 3, 1, 2)
    return Split(pixels.contiguous(), torch.as_tensor(np.asarray(labels)).long())

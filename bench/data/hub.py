"""Data sets of the Hugging Face hub, or in its formats on disk, through the library `datasets`."""

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from bench.data.paths import sized
from bench.data.pictures import TESTS, Stored, divide
from bench.data.splits import Dataset
from bench.errors import CrossfireError, reason


def load_hub(spec: str) -> Dataset:
    """`NAME[#LABEL][@SIZE]`: a data set of the hub, or a local folder that `datasets` can load.

    The first split of `TESTS` that has labels is the test set. There must be a column of pictures
    and one of class labels; LABEL chooses one of several. The order is that of the data set.

    Raises:
        CrossfireError: the library is missing, the data set is not found, or a column is missing.
    """
    text, size = sized(spec)
    name, _, wanted = text.partition("#")
    found = _load(name)
    # A split may lack columns; where types differ, that of the first split counts.
    splits = reversed(found.values())
    features = {key: kind for part in splits for key, kind in part.features.items()}
    label = _column(name, features, "ClassLabel", wanted)
    columns = _column(name, features, "Image", ""), label
    full = {name: part for name, part in found.items() if {*columns} <= {*part.features}}
    tests = (_stored(full[name], *columns) for name in TESTS if name in full)
    # Where the labels of a test set are secret, all are -1 or None, or their column is missing.
    test = next((stored for stored in tests if (stored.labels >= 0).any()), None)
    if test is None:
        raise CrossfireError(
            f"hf:{name} has {', '.join(found)}; a split {', '.join(TESTS)} with labels is needed"
        )
    train = partial(_stored, full["train"], *columns) if "train" in full else None
    return divide(f"hf:{spec}", features[label].num_classes, size, test, train)


def _load(name: str) -> Any:  # noqa: ANN401
    try:
        import datasets
    except ImportError as error:
        raise CrossfireError(
            f"hf:{name} needs the library datasets; run: pip install 'crossfire-bench[hf]'"
        ) from error
    try:
        if (Path(name) / "dataset_dict.json").is_file():
            return datasets.load_from_disk(name)
        return datasets.load_dataset(name)
    except Exception as error:
        raise CrossfireError(
            f"cannot load hf:{name} ({reason(error)}); check name and network"
        ) from error


def _column(name: str, features: Any, kind: str, wanted: str) -> str:  # noqa: ANN401
    columns: list[str] = [key for key, value in features.items() if type(value).__name__ == kind]
    if wanted in columns:
        return wanted
    if not columns:
        raise CrossfireError(
            f"hf:{name} has no column of type {kind}; make one with the methods cast_column and "
            "save_to_disk of datasets, and write hf:FOLDER"
        )
    if len(columns) > 1 or wanted:
        raise CrossfireError(
            f"hf:{name} has {kind} columns: {', '.join(columns)}; write hf:{name}#COLUMN"
        )
    return columns[0]


def _stored(split: Any, picture: str, label: str) -> Stored:  # noqa: ANN401
    encoded = split.cast_column(picture, type(split.features[picture])(decode=False))
    numbers = [-1 if number is None else number for number in split[label]]
    labels = torch.tensor(numbers, dtype=torch.long)
    return Stored(partial(_place, encoded, picture), torch.arange(len(labels)), labels)


def _place(encoded: Any, picture: str, index: int) -> tuple[Path | BytesIO, str]:  # noqa: ANN401
    found = encoded[index][picture]
    return BytesIO(found["bytes"]) if found["bytes"] else Path(found["path"]), f"picture {index}"

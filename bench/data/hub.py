"""Data sets of the Hugging Face hub, or in its formats on disk, through the library `datasets`."""

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from bench.data.pictures import TESTS, Form, Pictures, decode, header, sized
from bench.data.splits import Dataset
from bench.errors import CrossfireError, reason


def load_hub(spec: str) -> Dataset:
    """`NAME[#LABEL][@SIZE]`: a data set of the hub, or a local folder that `datasets` can load.

    It must have the splits train and test (or another of `TESTS`), a column of pictures and one of
    class labels; LABEL chooses one of several. The order is that of the data set.

    Raises:
        CrossfireError: the library is missing, the data set is not found, or a column is missing.
    """
    text, size = sized(spec)
    name, _, wanted = text.partition("#")
    found = _load(name)
    test = next((part for part in TESTS if part in found), None)
    if test is None or "train" not in found:
        raise CrossfireError(f"hf:{name} has {', '.join(found)}; splits train and test are needed")
    features = found[test].features
    picture = _column(name, features, "Image", "")
    label = _column(name, features, "ClassLabel", wanted)
    splits = [found["train"], found[test]]
    splits = [split.cast_column(picture, type(features[picture])(decode=False)) for split in splits]
    encoded = (row for split in splits for row in split[picture])
    form = Form.common([header(_stored(row), "a picture") for row in encoded], size)
    train, held = (_pictures(split, picture, label, form) for split in splits)
    return Dataset.divide(f"hf:{spec}", features[label].num_classes, train, held)


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
    if len(columns) != 1 or wanted:
        listed = ", ".join(columns) or "none"
        raise CrossfireError(f"hf:{name} has {kind} columns: {listed}; write hf:{name}#COLUMN")
    return columns[0]


def _pictures(split: Any, picture: str, label: str, form: Form) -> Pictures:  # noqa: ANN401
    labels = torch.tensor(split[label], dtype=torch.long)
    return Pictures(partial(_read, split, picture), form, torch.arange(len(labels)), labels)


def _read(split: Any, picture: str, index: int) -> Image.Image:  # noqa: ANN401
    return decode(_stored(split[index][picture]), f"picture {index}")


def _stored(encoded: dict[str, Any]) -> Path | BytesIO:
    return BytesIO(encoded["bytes"]) if encoded["bytes"] else Path(encoded["path"])

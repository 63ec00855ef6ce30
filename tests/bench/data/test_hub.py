from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data import load
from bench.errors import CrossfireError

datasets: Any = pytest.importorskip("datasets")
PIXELS = np.random.RandomState(0).randint(0, 256, (20, 6, 5, 3)).astype(np.uint8)


def store(folder: Path, *labels: str, parts: tuple[str, ...] = ("train", "test")) -> str:
    """Write a local data set with these label columns; return its spec."""
    features = {"img": datasets.Image()} | {
        x: datasets.ClassLabel(names=["a", "b"]) for x in labels
    }
    columns: dict[str, Any] = {"img": [Image.fromarray(pixels) for pixels in PIXELS]}
    columns |= dict.fromkeys(labels, [0, 1] * 10)
    part = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    datasets.DatasetDict(dict.fromkeys(parts, part)).save_to_disk(folder / "set")
    return f"hf:{folder / 'set'}"


def test_a_local_data_set_keeps_pixels_labels_and_order(tmp_path: Path) -> None:
    found = load(store(tmp_path, "label"))
    assert (found.classes, found.channels, found.size) == (2, 3, (6, 5))
    assert torch.equal(found.test.images, torch.from_numpy(PIXELS).permute(0, 3, 1, 2))
    assert found.test.labels.tolist() == [0, 1] * 10
    assert (len(found.train), len(found.heldout)) == (18, 2)


def test_a_size_scales_all_pictures(tmp_path: Path) -> None:
    assert load(store(tmp_path, "label") + "@4").size == (4, 4)


def test_validation_is_the_test_set_if_there_is_no_test(tmp_path: Path) -> None:
    assert len(load(store(tmp_path, "label", parts=("train", "validation"))).test) == 20


def test_several_label_columns_require_a_choice(tmp_path: Path) -> None:
    spec = store(tmp_path, "fine", "coarse")
    with pytest.raises(CrossfireError, match=r"columns: fine, coarse; write hf:.*#COLUMN"):
        load(spec)
    assert load(f"{spec}#coarse").classes == 2


@pytest.mark.parametrize(("labels", "parts"), [((), ("train", "test")), (("label",), ("train",))])
def test_a_missing_split_or_column_is_named(
    tmp_path: Path, labels: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    with pytest.raises(CrossfireError, match=r"columns: none|splits train and test are needed"):
        load(store(tmp_path, *labels, parts=parts))


def test_an_unknown_name_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(CrossfireError, match=r"cannot load hf:.*check name and network") as caught:
        load(f"hf:{tmp_path}/none")
    assert "\n" not in str(caught.value)

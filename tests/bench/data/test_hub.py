from collections.abc import Sequence
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


def part(*labels: str, secret: Sequence[int | None] = ()) -> Any:  # noqa: ANN401
    """A split with these columns of labels, which repeat `secret` if they are secret."""
    features = {"img": datasets.Image()} | {
        x: datasets.ClassLabel(names=["a", "b"]) for x in labels
    }
    columns: dict[str, Any] = {"img": [Image.fromarray(pixels) for pixels in PIXELS]}
    columns |= dict.fromkeys(labels, [*(secret or (0, 1))] * 10)
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def save(folder: Path, parts: dict[str, Any]) -> str:
    """Write a local data set of these splits; return its spec."""
    datasets.DatasetDict(parts).save_to_disk(folder / "set")
    return f"hf:{folder / 'set'}"


def store(folder: Path, *labels: str) -> str:
    return save(folder, dict.fromkeys(("train", "test"), part(*labels)))


def test_a_local_data_set_keeps_pixels_labels_and_order(tmp_path: Path) -> None:
    found = load(store(tmp_path, "label"))
    assert (found.classes, found.channels, found.size) == (2, 3, (6, 5))
    assert torch.equal(found.test.images, torch.from_numpy(PIXELS).permute(0, 3, 1, 2))
    assert found.test.labels.tolist() == [0, 1] * 10
    assert (len(found.train), len(found.heldout)) == (18, 2)


def test_a_size_scales_all_pictures(tmp_path: Path) -> None:
    assert load(store(tmp_path, "label") + "@4").size == (4, 4)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_is_the_test_set_if_there_is_no_test_or_its_labels_are_secret(
    tmp_path: Path, name: str
) -> None:
    parts = {"train": part("label"), name: part("label")}
    assert len(load(save(tmp_path / "a", parts)).test) == 20
    secrets = (part("label", secret=(-1, -1)), part("label", secret=(None, None)), part())
    for folder, secret in zip("bcd", secrets, strict=True):
        spec = save(tmp_path / folder, {"test": secret, **parts})
        assert load(spec).test.labels.tolist() == [0, 1] * 10


def test_a_test_set_may_stand_alone(tmp_path: Path) -> None:
    alone = load(save(tmp_path, {"test": part("label")}))
    assert (len(alone.train), len(alone.heldout), len(alone.test)) == (0, 0, 20)


def test_the_training_pictures_are_opened_when_they_are_used(tmp_path: Path) -> None:
    damaged = part("label").cast_column("img", datasets.Image(decode=False)).to_dict()
    damaged["img"] = [{"bytes": b"hello", "path": None}] * 20
    features = part("label").features
    train = datasets.Dataset.from_dict(damaged, features=features)
    found = load(save(tmp_path, {"train": train, "test": part("label")}))
    assert found.test.images.shape == (20, 3, 6, 5)
    with pytest.raises(CrossfireError, match="picture 0 is not a complete picture"):
        found.train  # noqa: B018


def test_several_label_columns_require_a_choice(tmp_path: Path) -> None:
    spec = store(tmp_path, "fine", "coarse")
    with pytest.raises(CrossfireError, match=r"columns: fine, coarse; write hf:.*#COLUMN"):
        load(spec)
    assert load(f"{spec}#coarse").classes == 2


def test_a_missing_split_or_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrossfireError, match=r"no column of type ClassLabel; .* cast_column"):
        load(store(tmp_path / "a"))
    with pytest.raises(CrossfireError, match=r"has train; a split test, .* is needed"):
        load(save(tmp_path / "b", {"train": part("label")}))


def test_an_unknown_name_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(CrossfireError, match=r"cannot load hf:.*check name and network") as caught:
        load(f"hf:{tmp_path}/none")
    assert "\n" not in str(caught.value)

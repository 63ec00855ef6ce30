import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data import load
from bench.errors import CrossfireError


def arrays(shape: tuple[int, ...] = (5, 7, 3)) -> dict[str, np.ndarray]:
    rng = np.random.RandomState(0)
    return {
        "x_train": rng.randint(0, 256, (40, *shape)).astype(np.uint8),
        "y_train": (np.arange(40) % 4).astype(np.uint8),
        "x_test": rng.randint(0, 256, (12, *shape)).astype(np.uint8),
        "y_test": (np.arange(12) % 4).astype(np.int32),
    }


def store(folder: Path, **changes: np.ndarray | None) -> str:
    content = {k: v for k, v in (arrays() | changes).items() if v is not None}
    np.savez(folder / "mine.npz", **content)
    return f"npz:{folder / 'mine.npz'}"


def test_colour_non_square_images_keep_pixels_and_order(tmp_path: Path) -> None:
    mine = load(store(tmp_path))
    assert (mine.classes, mine.channels, mine.size) == (4, 3, (5, 7))
    expected = torch.from_numpy(arrays()["x_test"]).permute(0, 3, 1, 2)
    assert torch.equal(mine.test.images, expected)
    assert mine.test.images.is_contiguous()
    assert (len(mine.train), len(mine.heldout)) == (36, 4)


def test_grey_images_may_lack_the_channel_axis(tmp_path: Path) -> None:
    grey = arrays(shape=(5, 7))
    mine = load(store(tmp_path, x_train=grey["x_train"], x_test=grey["x_test"]))
    assert (mine.channels, mine.size) == (1, (5, 7))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None}, "has no x_test"),
        ({"x_test": np.zeros((12, 5, 7, 3))}, "x_test .* float64; store pixels as uint8"),
        ({"x_train": np.zeros((40, 3, 5, 7), np.uint8)}, r"\(n, height, width, 1 or 3\)"),
        ({"x_test": np.zeros((12, 5, 5, 3), np.uint8)}, "different shapes"),
        ({"y_test": np.zeros(11, np.int64)}, "y_test .* each of 12 images"),
        ({"y_test": np.zeros(12)}, "y_test .* whole number"),
        ({"y_train": None}, "has no y_train; it must hold x_test, y_test and, to train, x_train"),
        ({"y_train": np.full(40, -1)}, "from 0 to"),
        ({"x_test": np.zeros((0, 5, 7, 3), np.uint8), "y_test": np.zeros(0, int)}, "no images"),
        ({"classes": 3}, "classes in .* one whole number above 3"),
        ({"classes": ["a", "b"]}, "classes in .* one whole number above 3"),
        ({"x_test": np.ones((12, 5, 7, 3), np.uint8)}, "are 0 and 1; store 0 to 255"),
        ({"x_test": np.array([{}], dtype=object)}, "not a readable"),
    ],
)
def test_each_error_is_one_line_with_the_correction(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CrossfireError, match=message) as caught:
        load(store(tmp_path, **changes)).train  # noqa: B018
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", [True, False])
def test_test_data_may_stand_alone_and_keep_their_identity(tmp_path: Path, missing: bool) -> None:
    whole = load(store(tmp_path))
    empty = {key: None if missing else arrays()[key][:0] for key in ("x_train", "y_train")}
    alone = load(store(tmp_path, **empty))
    assert (len(alone.train), len(alone.heldout), len(alone.test)) == (0, 0, 12)
    assert alone.train.images.shape == (0, 3, 5, 7)
    assert (alone.classes, alone.test.sha256()) == (4, whole.test.sha256())


def test_a_file_may_lie_under_the_users_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("npz:~/mine.npz").name == "npz:~/mine.npz"


def test_a_file_may_say_how_many_classes_there_are(tmp_path: Path) -> None:
    assert load(store(tmp_path, classes=np.array(10))).classes == 10


def test_missing_truncated_and_other_files_have_different_errors(tmp_path: Path) -> None:
    with pytest.raises(CrossfireError, match="there is no file"):
        load(f"npz:{tmp_path}/none.npz")
    spec = store(tmp_path)
    file = tmp_path / "mine.npz"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(CrossfireError, match="not a readable"):
        load(spec)
    file.write_text("hello")
    with pytest.raises(CrossfireError, match="not a readable"):
        load(spec)


@pytest.mark.parametrize(
    ("pattern", "new"),
    [(rb"(?s)(PK\x01\x02.{6}).", rb"\1a"), (rb"\(40, 5, 7, 3\)", rb"(40, 5, 7, 3 ")],
    ids=["compression", "header"],
)
def test_an_unknown_compression_and_a_broken_header_are_errors_of_one_line(
    tmp_path: Path, pattern: bytes, new: bytes
) -> None:
    spec = store(tmp_path)
    file = tmp_path / "mine.npz"
    file.write_bytes(re.sub(pattern, new, file.read_bytes()))
    with pytest.raises(CrossfireError, match="not a readable") as caught:
        load(spec)
    assert "\n" not in str(caught.value)


def test_the_training_data_is_read_when_it_is_used(tmp_path: Path) -> None:
    spec = store(tmp_path)
    file = tmp_path / "mine.npz"
    whole = load(spec)
    pixels = arrays()["x_train"].tobytes()
    file.write_bytes(file.read_bytes().replace(pixels, pixels[:-1] + bytes([pixels[-1] ^ 1])))
    damaged = load(spec)
    assert damaged.test.sha256() == whole.test.sha256()
    with pytest.raises(CrossfireError, match="not a readable"):
        damaged.heldout  # noqa: B018


def test_an_unknown_name_is_answered_with_the_closest_one() -> None:
    with pytest.raises(CrossfireError, match="unknown data set 'cifar11'"):
        load("cifar11")


@pytest.mark.realdata
def test_real_cifar10_is_complete_and_balanced() -> None:
    if "CROSSFIRE_DATA" not in os.environ:
        pytest.skip("CROSSFIRE_DATA names no folder")
    cifar10 = load(f"npz:{os.environ['CROSSFIRE_DATA']}/cifar10.npz")
    assert (cifar10.classes, cifar10.channels, cifar10.size) == (10, 3, (32, 32))
    assert cifar10.train.labels.bincount().tolist() == [4500] * 10
    assert cifar10.heldout.labels.bincount().tolist() == [500] * 10
    assert 0.45 < cifar10.test.floats().mean() < 0.5


def test_an_array_file_is_refused_in_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(CrossfireError, match="is not a readable"):
        load(f"npz:{tmp_path / 'one.npy'}")


def test_without_datasets_the_message_has_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CrossfireError, match=r"pip install 'crossfire-bench\[hf\]'"):
        load("hf:some/name")

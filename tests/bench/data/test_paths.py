"""Data sets in files are found where their names say, by commands and by campaigns."""

from pathlib import Path

import numpy as np
import pytest

from bench.campaign.definition.file import read
from bench.campaign.execution import identity
from bench.campaign.execution.plan import make
from bench.data import path_of
from bench.files import sha256_file


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("npz:a/b.npz", "a/b.npz"),
        ("npz:~/b.npz", "/home/me/b.npz"),
        ("folder:pictures@32", "pictures"),
        ("folder:/data/me@home/pictures", "/data/me@home/pictures"),
        ("folder:~/pictures@32", "/home/me/pictures"),
        ("hf:a/b@32", None),
        ("cifar10", None),
    ],
)
def test_the_file_or_folder_of_a_data_set(
    name: str, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert path_of(name) == (None if path is None else Path(path))


def test_a_folder_named_like_a_size_is_looked_for_beside_the_campaign(tmp_path: Path) -> None:
    (tmp_path / "set@2024").mkdir()
    assert path_of("folder:set@2024") == Path("set")
    assert path_of("folder:set@2024", tmp_path) == Path("set@2024")
    assert path_of("folder:set@2024@32", tmp_path) == Path("set@2024")
    (tmp_path / "set@2024" / "1.png").touch()
    file = tmp_path / "c.toml"
    file.write_text('dataset = "folder:set@2024"\n[[run]]\ndefense = "at"\n')
    assert read(file).dataset == "folder:set@2024"
    assert identity.data("folder:set@2024", tmp_path) != identity.data("folder:set@2024", Path())


def test_a_campaign_finds_and_identifies_data_below_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    data, file = tmp_path / "data.npz", tmp_path / "campaign" / "c.toml"
    images, labels = np.full((4, 8, 8), 9, np.uint8), np.array([0, 1, 0, 1])
    np.savez(data, x_train=images, y_train=labels, x_test=images, y_test=labels)
    file.parent.mkdir()
    file.write_text('dataset = "npz:~/data.npz"\n[[run]]\ndefense = "at"\n')
    assert make(read(file)).steps["train at-0"].files == ()
    assert identity.data("npz:~/data.npz", file.parent) == sha256_file(data)

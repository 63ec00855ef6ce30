"""What goes between a campaign's folder and a task on another machine."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.campaign.worker import Keeper, collected, train


class Remote:
    """A method of an actor, called at once."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.remote = method


class Actor:
    def __init__(self, keeper: Keeper) -> None:
        self.give, self.take = Remote(keeper.give), Remote(keeper.take)


def test_files_and_folders_travel_under_their_names(tmp_path: Path) -> None:
    (tmp_path / "runs" / "at-0" / "peer").mkdir(parents=True)
    (tmp_path / "runs" / "at-0" / "peer" / "best").write_bytes(b"1")
    (tmp_path / "mine.npz").write_bytes(b"2")
    found = collected(tmp_path, ["mine.npz", "runs/at-0", "nowhere"])
    assert found == {"mine.npz": b"2", "runs/at-0/peer/best": b"1"}


def test_a_keeper_writes_what_is_new_and_removes_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"old")
    keeper = Keeper(str(tmp_path))
    keeper.take(str(tmp_path / "log"), b"said", {"runs/best": b"new"}, ["state.pt"])
    assert (tmp_path / "runs" / "best").read_bytes() == b"new"
    assert (tmp_path / "log").read_bytes() == b"said"
    assert not (tmp_path / "state.pt").exists()


def test_a_task_leaves_its_log_and_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ray:
        get = staticmethod(lambda value: value)

    monkeypatch.setitem(sys.modules, "ray", Ray)
    words = ["train", "nothing"]
    code = train(
        Actor(Keeper(str(tmp_path))), str(tmp_path / "log"), words, ["../mine.npz"], "at-0", "1"
    )
    assert code == 2
    assert "unknown defense 'nothing'" in (tmp_path / "log").read_text()

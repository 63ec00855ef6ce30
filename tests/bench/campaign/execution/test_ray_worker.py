"""File transfer between a campaign's folder and a task on another machine."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.campaign.execution.ray_worker import FileServer, collected, train


class Remote:
    """A method of an actor, called at once."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.remote = method


class Actor:
    def __init__(self, server: FileServer) -> None:
        self.read, self.write = Remote(server.read), Remote(server.write)


def test_files_and_folders_keep_their_names(tmp_path: Path) -> None:
    (tmp_path / "runs" / "at-0" / "peer").mkdir(parents=True)
    (tmp_path / "runs" / "at-0" / "peer" / "best").write_bytes(b"1")
    (tmp_path / "mine.npz").write_bytes(b"2")
    found = collected(tmp_path, ["mine.npz", "runs/at-0", "nowhere"])
    assert found == {"mine.npz": b"2", "runs/at-0/peer/best": b"1"}


def test_the_file_server_writes_new_files_and_deletes_removed_ones(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"old")
    server = FileServer(str(tmp_path))
    server.write(str(tmp_path / "log"), b"output", {"runs/best": b"new"}, ["state.pt"])
    assert (tmp_path / "runs" / "best").read_bytes() == b"new"
    assert (tmp_path / "log").read_bytes() == b"output"
    assert not (tmp_path / "state.pt").exists()


def test_a_task_sends_its_log_and_returns_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ray:
        get = staticmethod(lambda value: value)

    monkeypatch.setitem(sys.modules, "ray", Ray)
    arguments = ["train", "nothing"]
    code = train(
        Actor(FileServer(str(tmp_path))),
        str(tmp_path / "log"),
        arguments,
        ["../mine.npz"],
        "at-0",
        "1",
    )
    assert code == 2
    assert "unknown defense 'nothing'" in (tmp_path / "log").read_text()

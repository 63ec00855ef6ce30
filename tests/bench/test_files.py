"""Files are replaced whole or not at all."""

import os
from pathlib import Path

import pytest

from bench.errors import CrossfireError
from bench.files import is_locked, locked, replacing, write_atomic


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as draft:
            draft.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_and_its_target_is_written(tmp_path: Path, there: bool) -> None:
    (tmp_path / "folder").mkdir()
    link, target = tmp_path / "link", tmp_path / "folder" / "target"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(tmp_path.rglob("*")) == [target.parent, target, link]


def test_a_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomic(pipe, b"new")
    assert pipe.is_fifo()
    assert os.read(reader, 9) == b"new"
    os.close(reader)


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(CrossfireError, match=r"cannot write .*: Is a directory"):
        write_atomic(tmp_path, b"new")


def test_content_is_flushed_before_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def flush(handle: int) -> None:
        order.append("fsync")
        fsync(handle)

    def move(source: Path, target: Path) -> Path:
        order.append("rename")
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", move)
    write_atomic(tmp_path / "a", b"1")
    assert order == ["fsync", "rename"]


def test_the_lock_of_a_file_is_held_by_one_only(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    with locked(path, "writes here; wait"):
        assert is_locked(path)
        with pytest.raises(
            CrossfireError, match=f"process {os.getpid()} already writes here; wait"
        ):
            locked(path, "writes here; wait").__enter__()
    assert not is_locked(path)
    assert not is_locked(tmp_path / "none")

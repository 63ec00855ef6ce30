import os
from pathlib import Path

import pytest

from bench.errors import CrossfireError
from bench.report.stale import BEGIN, END, is_stale, renew

TABLE = "| rank |\n"


def test_a_file_is_stale_until_it_is_renewed(tmp_path: Path) -> None:
    path = tmp_path / "board.md"
    assert is_stale(path, TABLE)
    renew(path, TABLE)
    assert path.read_text() == TABLE
    assert not is_stale(path, TABLE)
    assert is_stale(path, TABLE + "| 2 |\n")


def test_only_what_stands_between_the_marks_is_renewed(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"# Title\n{BEGIN}\nold\n{END}\nThe end.\n")
    renew(path, TABLE)
    assert path.read_text() == f"# Title\n{BEGIN}\n\n| rank |\n\n{END}\nThe end.\n"
    assert not is_stale(path, TABLE)


def test_a_pipe_is_written_and_never_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert is_stale(pipe, TABLE)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    renew(pipe, TABLE)
    assert os.read(reader, 99).decode() == TABLE
    os.close(reader)


def test_lines_end_as_in_the_rest_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(f"# Title\r\n{BEGIN}\r\n{END}\r\nThe end.\r\n".encode())
    renew(path, TABLE)
    middle = "\r\n\r\n| rank |\r\n\r\n"
    assert path.read_bytes() == f"# Title\r\n{BEGIN}{middle}{END}\r\nThe end.\r\n".encode()
    assert not is_stale(path, TABLE)


def test_a_file_that_is_not_utf_8_is_replaced_or_keeps_its_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b"caf\xe9\n")
    assert is_stale(path, TABLE)
    renew(path, TABLE)
    assert path.read_text() == TABLE
    path.write_bytes(b"caf\xe9\n%s%s\n" % (BEGIN.encode(), END.encode()))
    renew(path, TABLE)
    assert path.read_bytes().startswith(b"caf\xe9\n")


@pytest.mark.parametrize("text", [BEGIN, END, f"{END} {BEGIN}"])
def test_a_mark_without_the_other_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(CrossfireError, match="needs both marks"):
        renew(path, TABLE)
    assert path.read_text() == text

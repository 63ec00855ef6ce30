import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leaderboard.errors import LeaderboardError
from leaderboard.releases import frozen_records, get, latest, release
from leaderboard.store import Board
from tests.records import make_record, make_table

NOW = "2026-03-01T00:00:00+00:00"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = Board(tmp_path)
    add(board, "at")
    return board


def add(board: Board, name: str) -> None:
    record = make_record(name)
    board.append(record, make_table(record), None)


def test_a_release_keeps_its_records_and_its_table_when_the_board_changes(board: Board) -> None:
    records = board.records()
    frozen = release(board, records, "| rank |\n| 1 |", NOW)
    add(board, "mat")
    assert frozen.number == 1
    assert get(board, 1) == frozen
    assert frozen_records(board, get(board, 1)) == records
    assert get(board, 1).table == ("| rank |", "| 1 |")


def test_releases_are_numbered_from_one(board: Board) -> None:
    assert latest(board) == 0
    for number, name in enumerate(("mat", "trades", "l2l"), start=1):
        add(board, name)
        assert release(board, board.records(), "", NOW).number == number
    assert latest(board) == 3


def test_a_release_without_anything_new_is_refused(board: Board) -> None:
    release(board, board.records(), "", NOW)
    with pytest.raises(LeaderboardError, match="nothing has changed since release 1"):
        release(board, board.records(), "", NOW)


def test_releases_at_the_same_time_get_different_numbers(board: Board) -> None:
    for i in range(8):
        add(board, f"m{i}")
    records = board.records()
    with ThreadPoolExecutor(8) as pool:
        frozen = list(pool.map(lambda i: release(board, records[i:], "", NOW), range(8)))
    assert sorted(one.number for one in frozen) == list(range(1, 9))
    assert all(get(board, one.number) == one for one in frozen)


def test_an_unknown_release_names_the_newest(board: Board) -> None:
    with pytest.raises(LeaderboardError, match="make one with: bench release"):
        get(board, 1)
    release(board, board.records(), "", NOW)
    with pytest.raises(LeaderboardError, match=r"no release 2 in .*; the newest is 1"):
        get(board, 2)


@pytest.mark.parametrize(
    "change", [{"number": 7}, {"records": []}, {"table": ["| 2 |"]}, {"id": "0" * 64}]
)
def test_a_changed_release_is_refused(board: Board, change: dict[str, object]) -> None:
    release(board, board.records(), "| 1 |", NOW)
    path = board.folder / "releases" / "0001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(LeaderboardError, match="release 1 is not valid"):
        get(board, 1)


def test_a_release_under_another_number_is_refused(board: Board) -> None:
    release(board, board.records(), "| 1 |", NOW)
    path = board.folder / "releases" / "0001.json"
    path.rename(path.with_name("0002.json"))
    with pytest.raises(LeaderboardError, match=r"release 2 is not valid \(it is release 1\)"):
        get(board, 2)


@pytest.mark.parametrize("text", ["[]", "null", '"x"', "{}", pytest.param("[" * 10**6, id="deep")])
def test_a_file_that_holds_no_release_is_refused(board: Board, text: str) -> None:
    release(board, board.records(), "", NOW)
    (board.folder / "releases" / "0001.json").write_text(text)
    with pytest.raises(LeaderboardError, match="release 1 is not valid"):
        get(board, 1)


def test_a_missing_record_of_a_release_is_named(board: Board) -> None:
    records = board.records()
    release(board, records, "", NOW)
    board.path(records[0]).unlink()
    with pytest.raises(LeaderboardError, match=records[0].id[:16]):
        frozen_records(board, get(board, 1))


def test_other_files_in_the_folder_are_no_releases(board: Board) -> None:
    release(board, board.records(), "", NOW)
    (board.folder / "releases" / "0001 copy.json").write_text("{}")
    assert latest(board) == 1

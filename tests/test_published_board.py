"""The project's own board: whole, honest about where it comes from, by rules that still hold."""

from pathlib import Path

import pytest

from bench.verify import Options
from bench.verify.case import Case
from bench.verify.rules import protocol_is_what_it_says
from leaderboard.releases import frozen_records, get, latest
from leaderboard.schema import Record
from leaderboard.store import Board

BOARD = Board(Path(__file__).parents[1] / "leaderboard" / "published")
RECORDS = BOARD.records()


def test_there_are_ten_records_and_none_is_damaged() -> None:
    assert BOARD.read().damaged == []
    assert len(RECORDS) >= 10


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.model.name)
def test_a_record_names_a_clean_commit_and_no_place_of_a_machine(record: Record) -> None:
    assert record.environment.commit
    assert record.environment.dirty is False
    assert not Path(record.model.source).is_absolute()
    assert "/tmp" not in BOARD.path(record).read_text()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.model.name)
def test_the_protocol_of_a_record_is_what_the_suites_are_now(record: Record) -> None:
    """When this fails a suite has changed: raise `bench.protocol.VERSION`, then `make board`."""
    assert list(protocol_is_what_it_says(Case(record, BOARD.folder, Options()))) == []


def test_releases_are_whole() -> None:
    assert latest(BOARD) >= 2
    for number in range(1, latest(BOARD) + 1):
        assert frozen_records(BOARD, get(BOARD, number))

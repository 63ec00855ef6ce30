"""Protocol versions: the newest of each evaluation, and records of older ones by request."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from leaderboard.schema import Record
from leaderboard.store import Board
from leaderboard.versions import newest
from tests.records import make_record, make_table


def measured(name: str, version: int, **options: object) -> Record:
    record = make_record(name, **options)  # type: ignore[arg-type]
    return replace(record, protocol=replace(record.protocol, version=version))


def test_the_newest_version_of_each_evaluation_is_kept_in_order() -> None:
    old, new = measured("at", 3), measured("at", 5)
    only_old = measured("at", 3, suites=("autoattack",))
    other_data = measured("at", 4, dataset="digits")
    assert newest([new, old, only_old, other_data]) == [new, only_old, other_data]


@pytest.fixture
def board(tmp_path: Path) -> Path:
    for name, version in (("trades", 3), ("mat", 3), ("at", 5)):
        record = measured(name, version)
        Board(tmp_path / "board").append(record, make_table(record), None)
    return tmp_path / "board"


def report(board: Path, *arguments: str) -> Result:
    command = ["report", "--board", str(board), "--format", "csv", *arguments]
    return CliRunner().invoke(main, command)


def names(result: Result) -> set[str]:
    return {row["defense"] for row in csv.DictReader(io.StringIO(result.stdout))}


def test_a_report_shows_the_newest_version_and_says_what_it_leaves_out(board: Path) -> None:
    result = report(board)
    assert names(result) == {"at"}
    assert result.stderr.splitlines() == [
        "2 records of older protocol versions are left out; "
        "--protocol-version 3 shows those of version 3"
    ]


def test_the_hint_names_the_newest_version_that_is_left_out(tmp_path: Path) -> None:
    records = [measured("at", 3), measured("at", 6), measured("at", 5, suites=("autoattack",))]
    for record in records:
        Board(tmp_path / "board").append(record, make_table(record), None)
    assert "--protocol-version 3 shows those of version 3" in report(tmp_path / "board").stderr


def test_a_version_is_at_least_one(board: Path) -> None:
    assert report(board, "--protocol-version", "0").exit_code == 2


def test_a_report_shows_an_older_version_on_request(board: Path) -> None:
    result = report(board, "--protocol-version", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    assert names(result) == {"mat", "trades"}


def test_a_version_without_records_is_an_error_that_names_the_others(board: Path) -> None:
    result = report(board, "--protocol-version", "4")
    assert result.exit_code == 2
    assert "no record of protocol version 4; there are records of 3, 5" in result.stderr

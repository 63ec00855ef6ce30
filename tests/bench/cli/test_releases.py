from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from leaderboard.store import Board
from tests.records import make_record, make_table


@pytest.fixture
def board(tmp_path: Path) -> Path:
    add(tmp_path, "at", 0.3)
    return tmp_path


def add(board: Path, name: str, robust: float) -> None:
    record = make_record(name, examples=400, accuracies=(0.9, robust, robust, robust))
    Board(board).append(record, make_table(record), None)


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_release_does_not_change(board: Path) -> None:
    markdown = ("report", "--board", board, "--format", "markdown")
    before = bench(*markdown).output
    assert bench("release", "--board", board).output.startswith("release 1: 1 records")
    add(board, "mat", 0.8)
    assert "mat" in bench("report", "--board", board).output
    for form in ("terminal", "markdown", "csv"):
        frozen = bench("report", "--board", board, "--format", form, "--release", 1).output
        assert "mat" not in frozen
    assert (
        bench("report", "--board", board, "--format", "markdown", "--release", 1).output == before
    )


def test_a_diff_lists_the_rows_that_entered_and_moved(board: Path) -> None:
    bench("release", "--board", board)
    add(board, "mat", 0.8)
    bench("release", "--board", board)
    between = bench("diff", 1, 2, "--board", board, "--format", "markdown").output
    assert "| mat | preactresnet18 | – -> 1 | entered |" in between
    assert "| at | preactresnet18 | 1 -> 2 | 1 entered above |" in between
    now = bench("diff", 1, "--board", board, "--format", "markdown").output
    assert now.splitlines()[1:] == between.splitlines()[1:]


def test_a_comparison_pairs_two_records(board: Path) -> None:
    add(board, "mat", 0.8)
    result = bench("compare", "mat", "at", "--board", board)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1].split()[-1] == "A"


def test_a_rendered_file_is_checked_and_replaced(board: Path, tmp_path: Path) -> None:
    report = ("report", "--board", board, "--format", "markdown", "--out", tmp_path / "board.md")
    stale = bench(*report, "--check")
    assert (stale.exit_code, "out of date" in stale.stderr) == (1, True)
    assert bench(*report).exit_code == 0
    assert bench(*report, "--check").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "--check"), "--check needs --out PATH"),
        (("report", "--out", "board.txt"), "--out needs a --format for files"),
        (("report", "--release", "3"), "make one with: bench release"),
        (("compare", "at", "mta"), "no record is named 'mta'"),
        (("diff", "1"), "make one with: bench release"),
    ],
)
def test_errors_are_one_line(board: Path, arguments: tuple[str, ...], message: str) -> None:
    result = bench(*arguments, "--board", board)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert message in line

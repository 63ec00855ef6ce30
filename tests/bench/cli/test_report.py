import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from leaderboard.store import Board
from tests.records import make_record, make_table


@pytest.fixture
def board(tmp_path: Path) -> Path:
    for name in ("at", "mat"):
        record = make_record(name)
        Board(tmp_path / "board").append(record, make_table(record), None)
    return tmp_path / "board"


def bench(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_leaderboard_is_shown(board: Path) -> None:
    result = bench("report", "--board", board)
    assert result.exit_code == 0
    assert "cifar10 test · 40 examples" in result.stdout
    assert " mat " in result.stdout


@pytest.mark.parametrize("form", ["markdown", "html", "csv", "json"])
def test_a_report_that_is_redirected_is_the_file_that_out_writes(
    board: Path, tmp_path: Path, form: str
) -> None:
    words = ("report", "--board", board, "--format", form)
    (tmp_path / "a").write_bytes(bench(*words).stdout_bytes)
    assert bench(*words, "--out", tmp_path / "a", "--check").exit_code == 0


def test_an_empty_folder_is_an_error_of_one_line_with_the_correction(tmp_path: Path) -> None:
    result = bench("report", "--board", tmp_path)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "make one with: bench evaluate --threat union" in line


def test_a_damaged_record_is_named_and_the_table_is_still_shown(board: Path) -> None:
    damaged = next((board / "records").iterdir())
    damaged.write_text("{")
    result = bench("report", "--board", board)
    assert result.exit_code == 0
    assert f"warning: skipped the damaged record {damaged}" in result.stderr
    assert "cifar10" in result.stdout


HEAVY = ("torch", "pandas", "scipy", "pyarrow")
PROBE = """
import sys
from bench.cli import main
try:
    main([{arguments}])
except SystemExit:
    pass
print("heavy:", *(name for name in {heavy} if name in sys.modules))
"""


def heavy_imports(*arguments: str, program: str = PROBE) -> list[str]:
    code = program.format(arguments=", ".join(map(repr, arguments)), heavy=HEAVY)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("form", ["terminal", "markdown", "csv", "json"])
def test_a_report_imports_nothing_heavy(board: Path, form: str) -> None:
    assert heavy_imports("report", "--board", str(board), "--format", form) == []


def test_the_test_of_imports_can_fail(board: Path) -> None:
    assert heavy_imports(program="import pandas" + PROBE) != []

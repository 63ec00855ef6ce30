"""The tables of the pages on results are those that their commands print from the records."""

import re
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import main

ROOT = Path(__file__).parents[1]
PAGES = {
    "results.md": ("leaderboard/digits.toml", "leaderboard/cifar10.toml"),
    "switches.md": (
        *("leaderboard/digits.toml", "benchmarks/trials.toml", "benchmarks/trials-union.toml"),
    ),
    "cifar10-at-size.md": ("leaderboard/cifar10-at-size.toml",),
}


def rows(text: str) -> list[list[str]]:
    """The cells of all rows of all tables but their heads."""
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def is_part(cells: list[str], row: list[str]) -> bool:
    """Whether the cells are those of the row in their order; the row may have more."""
    left = iter(row)
    return cells[0] == row[0] and all(cell in left for cell in cells)


@pytest.mark.parametrize("page", PAGES)
def test_each_row_of_a_run_is_that_of_its_campaign(page: str) -> None:
    printed = []
    for file in PAGES[page]:
        done = CliRunner().invoke(main, ["results", str(ROOT / file), "--format", "markdown"])
        assert done.exit_code == 0, done.output
        printed += rows(done.stdout)
    runs = {row[0] for row in printed}
    shown = [row for row in rows((ROOT / "docs/explanation" / page).read_text()) if len(row) > 5]
    assert len(shown) > 10
    assert runs.issuperset(row[0] for row in shown)
    for row in shown:
        cells = [cell.replace("PGD-100", "pgd-100") for cell in row]
        assert any(is_part(cells, one) for one in printed), row


def test_further_figures_of_the_pages_are_those_recounted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runpy.run_path(str(ROOT / "benchmarks/recount.py"), run_name="__main__")
    printed = rows(capsys.readouterr().out)
    shown = {
        page: [
            [re.sub(r" \(α = .*\)", "", cell) for cell in row]
            for row in rows((ROOT / "docs/explanation" / page).read_text())
            if re.search(columns, " ".join(row))
        ]
        for page, columns in (
            ("switches.md", r"\d, \d+\.\d|^\S+ \d\d\.\d \d\d\.\d$"),
            ("cost.md", r" images \w+ \d "),
        )
    }
    assert [len(found) for found in shown.values()] == [12, 6]
    for row in (row for found in shown.values() for row in found):
        assert row in printed


def test_a_step_of_each_method_is_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    small = ("--arch", "cnn-w4", "--batch-size", "16", "--rounds", "1", "--only", "slim")
    monkeypatch.setattr("sys.argv", ["step.py", "digits", *small])
    runpy.run_path(str(ROOT / "benchmarks/step.py"), run_name="__main__")
    assert [row[0] for row in rows(capsys.readouterr().out)] == ["AT here", "L2L, slim 16"]

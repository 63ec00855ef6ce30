from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import bench.verify
from bench.cli import main
from bench.display import Progress
from bench.verify import Failure, Gap, Options, Report

FOUND = {
    "true": Report(Path("true"), None, ()),
    "forged": Report(Path("forged"), None, (Failure("V08", "outside the ball"),)),
    "bare": Report(Path("bare"), None, (), left_out=(Gap("V10", "it was left out"),)),
    "old": Report(Path("old"), None, (), missing=(Gap("V05", "no weights"), Gap("V09", "no data"))),
}


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    def verify_all(paths: tuple[Path, ...], options: Options, _: Progress) -> Iterator[Report]:
        assert options == Options(sample=100)
        return (FOUND[path.name] for path in paths)

    monkeypatch.setattr(bench.verify, "verify_all", verify_all)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["verify", "--sample", "100", *words])


def test_each_outcome_is_a_line_with_errors_and_unchecked_parts() -> None:
    *lines, last = run("true", "forged", "bare", "old").stdout.splitlines()
    assert lines == [
        "VALID true (not a record)",
        "INVALID forged (not a record)",
        "  V08: outside the ball",
        "VALID bare (not a record); not checked, it was left out: V10",
        "PARTLY CHECKED old (not a record); not checked, no weights: V05"
        "; not checked, no data: V09",
    ]
    assert last.startswith("4 records in 0 s: 2 valid, 1 partly checked, 1 invalid; name")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true", "bare"], 0),
        (["true", "old"], 2),
        (["true", "old", "--allow-missing"], 0),
        (["old", "forged", "true"], 1),
        (["old", "forged", "--allow-missing"], 1),
    ],
)
def test_the_exit_code_distinguishes_invalid_from_missing(words: list[str], code: int) -> None:
    assert run(*words).exit_code == code


def test_one_record_needs_no_summary() -> None:
    assert run("true").stdout == "VALID true (not a record)\n"


def test_a_missing_record_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    result = CliRunner().invoke(main, ["verify", str(tmp_path / "x.json")])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "there is no record" in line

from pathlib import Path

import pytest
from click.testing import CliRunner

import bench.verify
from bench.cli import main
from bench.verify import Failure, Options, Report


def test_the_verdict_is_printed_with_the_rules_and_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def verify(path: Path, options: Options) -> Report:
        assert options.sample == 100
        failures = (Failure("V08", "outside the ball"),) if path.name == "forged" else ()
        return Report(path, None, failures, ("V10",))

    monkeypatch.setattr(bench.verify, "verify", verify)
    result = CliRunner().invoke(main, ["verify", "true", "forged", "--sample", "100"])
    assert result.exit_code == 1
    assert "VALID true" in result.output
    assert "INVALID forged (not a record)\n  V08: outside the ball" in result.output
    assert "not checked, adversarial examples were left out: V10" in result.output
    assert CliRunner().invoke(main, ["verify", "true", "--sample", "100"]).exit_code == 0


def test_a_missing_record_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["verify", str(tmp_path / "x.json")])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "there is no record" in line

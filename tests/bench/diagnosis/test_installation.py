import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from bench.cli import main
from bench.diagnosis import installation, run
from bench.diagnosis.run import Examination
from leaderboard.diagnosis import Check, kept
from tests.leaderboard.test_diagnosis import FAIL, PASS


def test_the_environment_names_versions_devices_and_disk(tmp_path: Path) -> None:
    rows = dict(installation.environment(tmp_path))
    assert rows["torch"] == torch.__version__.split("+")[0]
    assert "cores" in rows["cpu"]
    assert rows["cpu"].endswith(("fp32", "bf16"))
    assert rows["free disk"].endswith(f"GiB in {tmp_path}")


def test_a_missing_extra_has_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_ray(name: str) -> Any:  # noqa: ANN401
        return "found" if name == "ray" else None

    monkeypatch.setattr(installation, "find_spec", only_ray)
    rows = dict(installation.extras())
    assert rows["cluster"] == "installed"
    assert "pip install 'crossfire-bench[timm]'" in rows["timm"]


def test_a_torchvision_that_does_not_import_is_reported_with_what_works_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    works = dict(installation.environment(tmp_path))["torchvision works"]
    assert works.startswith("no (ModuleNotFoundError")
    assert "digits" in works


def test_the_command_prints_environment_and_extras() -> None:
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0, done.output
    for name in ("torch", "cpu", "free disk", "extra cluster"):
        assert f"\n{name} " in done.output


def test_the_environment_is_shown_as_json() -> None:
    done = CliRunner().invoke(main, ["doctor", "--format", "json"])
    assert json.loads(done.stdout)["torch"] == torch.__version__.split("+")[0]


@pytest.mark.parametrize("option", ["--dataset", "--threat", "--examples", "--seed", "--board"])
def test_an_option_about_a_model_needs_one(option: str) -> None:
    done = CliRunner().invoke(main, ["doctor", option, "1"])
    assert done.exit_code == 2
    assert f"{option} needs a MODEL" in done.stderr


MODEL = """
from torch import nn
def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""


def diagnosed(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
    checks: tuple[Check, ...],
    counts: tuple[int, ...] = (9, 5),
) -> Any:  # noqa: ANN401
    (folder / "mine.py").write_text(MODEL)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run, "diagnose", lambda *_, **__: Examination(checks, *counts))
    return CliRunner().invoke(main, ["doctor", "mine.py:make", "--display", "none", *arguments])


def test_a_model_is_diagnosed_within_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = diagnosed(tmp_path, monkeypatch, checks=(PASS, FAIL))
    assert done.exit_code == 1, done.output
    assert "make under linf:0.25 on digits" in done.output
    assert "fail A8 a black box breaks more: mend it (X)" in " ".join(done.output.split())
    assert max(map(len, done.output.splitlines())) <= 80


def test_a_model_that_a_gate_refuses_has_no_number_of_robust_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = diagnosed(tmp_path, monkeypatch, checks=(FAIL,), counts=())
    assert "96 images, not attacked" in " ".join(done.stdout.split())
    done = diagnosed(tmp_path, monkeypatch, "--format", "json", checks=(FAIL,), counts=())
    found = json.loads(done.stdout)
    assert (found["correct"], found["standing"]) == (None, None)


def test_a_diagnosis_is_json_and_is_kept_on_a_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--format", "json", "--board", "board", "--threat", "l2")
    done = diagnosed(tmp_path, monkeypatch, *arguments, checks=(PASS,))
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["threat"] == "l2:0.9"
    (same,) = kept(tmp_path / "board", [found["weights_sha256"]])
    assert same.checks == (PASS,)


def test_several_threats_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = diagnosed(tmp_path, monkeypatch, "--threat", "union", checks=())
    assert isinstance(done.exception, SystemExit)
    assert "'union' is 3 threats; name one: linf:0.25" in done.stderr

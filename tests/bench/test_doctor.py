import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from bench import doctor
from bench.cli import main


def test_the_environment_names_versions_devices_and_disk(tmp_path: Path) -> None:
    rows = dict(doctor.environment(tmp_path))
    assert rows["torch"] == torch.__version__.split("+")[0]
    assert "cores" in rows["cpu"]
    assert rows["cpu"].endswith(("fp32", "bf16"))
    assert rows["free disk"].endswith(f"GiB in {tmp_path}")


def test_a_missing_extra_has_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_ray(name: str) -> Any:  # noqa: ANN401
        return "found" if name == "ray" else None

    monkeypatch.setattr(doctor, "find_spec", only_ray)
    rows = dict(doctor.extras())
    assert rows["cluster"] == "installed"
    assert "pip install 'crossfire-bench[timm]'" in rows["timm"]


def test_a_torchvision_that_does_not_import_is_said_with_what_still_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    works = dict(doctor.environment(tmp_path))["torchvision works"]
    assert works.startswith("no (ModuleNotFoundError")
    assert "digits" in works


def test_the_command_prints_all_of_it() -> None:
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0, done.output
    for name in ("torch", "cpu", "free disk", "extra cluster"):
        assert f"\n{name} " in done.output

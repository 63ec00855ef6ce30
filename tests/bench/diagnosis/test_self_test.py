"""`bench doctor` without a model tries its checks on models broken on purpose."""

import pytest
import torch
from click.testing import CliRunner

from bench.cli import main
from bench.diagnosis import self_test


def test_each_broken_model_fails_its_check_and_the_sound_one_none() -> None:
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0, done.output
    shown = [line for line in done.output.splitlines() if line.startswith("check ")]
    assert [line.split("  ")[-1].strip() for line in shown] == [
        "passes, as it must",
        *(f"fails {id_}, as it must" for id_ in ("P4", "P6", "P7")),
    ]


def test_a_check_that_does_not_fire_is_named_and_the_command_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert "passes P4, which it must not" in done.output


def test_a_sound_model_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "_failing", lambda model: {"P4", "P6", "P7"})
    name, said, right = next(self_test.self_test())
    assert (name, said, right) == ("sound model", "fails P4, P6, P7, which it must not", False)

"""Displays of a state as table, lines and JSON, and the forecast of a dry run."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from bench.campaign.definition.file import read
from bench.campaign.execution.display import (
    ORDER,
    SHOWN,
    as_json,
    display_state,
    rows,
    seconds_left,
    summary,
    table,
)
from bench.campaign.execution.plan import make
from bench.campaign.execution.state import State
from bench.cli import main
from tests.bench.campaign.execution.test_scheduler import TEXT


@pytest.fixture
def state(tmp_path: Path) -> State:
    (tmp_path / "c.toml").write_text(TEXT)
    found = State.load(make(read(tmp_path / "c.toml")))
    found.alive = True
    at, trades = found.entries["train at-0"], found.entries["train trades-0"]
    at.status, at.spent = "done", 30.0
    trades.status, trades.text, trades.done, trades.total = "running", "epoch 1/2", 5, 10
    trades.left = 10.0
    found.fail(found.plan.steps["evaluate at-0 best by pgd-100"], "no memory")
    return found


def test_the_table_shows_running_and_failed_steps(state: State) -> None:
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(table(state, SHOWN, 1))
    shown = capture.get()
    assert "6 steps: 1 done, 1 running, 3 waiting, 1 failed" in shown
    assert "epoch 1/2" in shown
    assert "no memory" in shown
    assert "student" not in shown
    assert len(rows(state, ORDER)) == 6


def test_a_running_step_of_a_killed_command_is_shown_as_stopped(state: State) -> None:
    state.alive = False
    shown_rows = {row[0]: row for row in rows(state, SHOWN)}
    assert shown_rows["train trades-0"][1:4] == ("stopped", "50 %", "0:10")


def test_the_time_left_follows_from_finished_steps_of_the_same_kind(state: State) -> None:
    assert seconds_left(state, 1) is None
    done = state.entries["evaluate at-0 best by pgd-100"]
    done.status, done.spent = "done", 4.0
    # Student 30, trades 10, and two evaluations of 4, by two processes.
    assert seconds_left(state, 2) == 24.0
    assert summary(state, 2).endswith("; about 0:24 left")


def test_json_holds_every_step(state: State) -> None:
    shown_rows = json.loads(as_json(state))
    assert shown_rows["counts"]["failed"] == 1
    assert shown_rows["steps"]["train trades-0"]["done"] == 5


@pytest.mark.parametrize("mode", ["plain", "json"])
def test_a_line_is_written_when_a_step_begins_or_ends(mode: str, state: State) -> None:
    lines: list[str] = []
    with display_state(mode, 1, lines.append) as show:
        show(state)
        show(state)
        state.entries["train trades-0"].status = "done"
        show(state)
        show(state)
    began, ended = lines
    assert "train trades-0" in began
    assert "train trades-0" in ended
    if mode == "json":
        assert json.loads(began)["status"] == "running"
        assert json.loads(ended)["status"] == "done"
    else:
        assert began == "running train trades-0: epoch 1/2 (50 %, 0:10 left)"


def test_a_running_step_has_a_line_now_and_then(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0, 299.0, 300.0, 301.0, 600.0]
    now = iter(seconds)
    monkeypatch.setattr("bench.campaign.execution.display.time.monotonic", lambda: next(now))
    lines: list[str] = []
    with display_state("plain", 1, lines.append) as show:
        for _ in seconds:
            show(state)
    assert len(lines) == 3


def test_a_dry_run_forecasts_the_cost_and_writes_nothing(tmp_path: Path) -> None:
    text = """
[train]
epochs = 4
batch_size = 32
[[run]]
defense = "undefended"
[[run]]
name = "student"
defense = "teacher-student"
teacher = "at"
steps = 1
[[run]]
defense = "at"
steps = 1
[[run]]
defense = "trades"
steps = 1
awp = 0.01
awp_warmup = 3
[[evaluate]]
threat = "linf"
examples = 20
"""
    (tmp_path / "c.toml").write_text(text)
    arguments = ["run", str(tmp_path / "c.toml"), "--dry-run", "--jobs", "2", "--display", "none"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "8 steps: 8 waiting"
    # Undefended: 1,212 images, 4 epochs, forward and backward; the others attack as well.
    assert lines[1].startswith("4 trainings: ")
    assert lines[2].startswith("4 evaluations: ")
    assert "lower bounds" in lines[3]
    assert "with 2 processes at a time" in lines[4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.toml"]

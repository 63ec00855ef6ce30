"""The scheduler: the order of steps, failures, stops, and finished steps that are not repeated."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.campaign.definition.file import read
from bench.campaign.execution import scheduler
from bench.campaign.execution.local_jobs import Ended
from bench.campaign.execution.plan import Plan, Step, make
from bench.campaign.execution.process_log import failure_reason, last_progress
from bench.campaign.execution.scheduler import Scheduler
from bench.campaign.execution.state import State, locked, reserve_folder, trained, write_mark
from bench.cli import main
from bench.errors import CrossfireError
from leaderboard.schema import to_json
from tests.records import make_record

TEXT = """
[[run]]
defense = "at"

[[run]]
name = "student"
defense = "teacher-student"
teacher = "at"

[[run]]
defense = "trades"

[[evaluate]]
"""


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "PAUSE", 0.0)


def plan(folder: Path, text: str = TEXT) -> Plan:
    (folder / "c.toml").write_text(text)
    return make(read(folder / "c.toml"))


class FakeJobs:
    """Jobs that end at once and write the same files as real ones."""

    def __init__(self, folder: Path, *failing: str) -> None:
        self.folder, self.failing = folder, failing
        self.started: list[str] = []
        self._running: list[Step] = []

    def has_capacity(self, step: Step) -> bool:
        return not self._running

    def start(self, step: Step, log: Path) -> None:
        self.started.append(step.key)
        self._running.append(step)
        if step.kind == "train":
            for tag in ("best", "last"):
                path = self.folder / step.model / f"{tag}.safetensors"
                if not path.exists():  # a finished training is not done again
                    path.write_text(f"{step.identity} {len(self.started)}")
        else:
            name = f"{len(self.started):016}"
            record = make_record(
                threats=("linf:0.25", "l2:0.9", "l1:3"),
                source=step.model,
                defense={"student": "teacher-student"}.get(step.run, step.run),
                config={},
                weights_sha256=name.ljust(64, "0"),
            )
            path = self.folder / step.board / "records" / f"{len(self.started)}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(to_json(record))
            weights = self.folder / step.board / "weights" / f"{name}.safetensors"
            weights.parent.mkdir(exist_ok=True)
            weights.write_bytes(b"")

    def ended(self) -> Iterator[Ended]:
        for step in self._running:
            yield step, "it broke" if step.key in self.failing else None
        self._running = []

    def stop(self) -> None:
        self._running = []

    @property
    def is_busy(self) -> bool:
        return bool(self._running)


def execute(found: Plan, *failing: str) -> tuple[State, list[str]]:
    state, jobs = State.load(found, locked_here=True), FakeJobs(found.campaign.folder, *failing)
    assert Scheduler(state, jobs, lambda state: None).run()
    return state, jobs.started


def test_every_step_runs_once_and_teachers_run_first(tmp_path: Path) -> None:
    found = plan(tmp_path)
    state, started = execute(found)
    assert started == list(found.steps)
    assert started[0] == "train at-0"
    assert state.count("done") == len(found.steps)
    assert execute(found)[1] == []


def test_a_failure_blocks_only_dependent_steps_and_is_retried(tmp_path: Path) -> None:
    found = plan(tmp_path)
    state, started = execute(found, "train at-0")
    assert state.entries["train at-0"].text == "it broke"
    assert state.entries["train student-0"].status == "blocked"
    assert started == ["train at-0", "train trades-0", "evaluate trades-0 best by pgd-100"]
    assert "train at-0" in execute(found)[1]


def test_a_changed_recipe_is_trained_and_other_steps_are_not_repeated(tmp_path: Path) -> None:
    execute(plan(tmp_path))
    weights = tmp_path / "runs" / "trades-0" / "best.safetensors"
    former = weights.read_text()
    changed = plan(tmp_path, TEXT.replace('"trades"', '"trades"\nepochs = 3'))
    assert execute(changed)[1] == ["train trades-0", "evaluate trades-0 best by pgd-100"]
    assert (tmp_path / "runs" / "earlier").is_dir()
    # The weights of the former recipe are kept in `earlier` and moved back.
    assert weights.read_text() != former
    execute(plan(tmp_path))
    assert weights.read_text() == former


def test_a_deleted_record_is_evaluated_again(tmp_path: Path) -> None:
    state, _ = execute(plan(tmp_path))
    key = "evaluate at-0 best by pgd-100"
    (tmp_path / "board" / state.entries[key].record).unlink()
    assert execute(plan(tmp_path))[1] == [key]


def test_at_the_deadline_running_steps_become_waiting(tmp_path: Path) -> None:
    state, jobs = State.load(plan(tmp_path)), FakeJobs(tmp_path)
    assert not Scheduler(state, jobs, lambda state: None, deadline=0.0).run()
    assert state.count("waiting") == len(state.entries)


def test_running_steps_of_a_killed_command_become_waiting(tmp_path: Path) -> None:
    found = plan(tmp_path)
    state = State.load(found)
    state.entries["train at-0"].status = "running"
    state.save()
    with locked(found.campaign.state_folder):
        assert State.load(found).entries["train at-0"].status == "running"
        assert State.load(found, locked_here=True).entries["train at-0"].status == "waiting"


def test_an_interruption_stops_every_process_and_saves_the_state(tmp_path: Path) -> None:
    found = plan(tmp_path)
    state, jobs = State.load(found), FakeJobs(tmp_path)
    calls = iter([None])

    def interrupted(state: State) -> None:
        if next(calls, "again") == "again" and jobs.is_busy:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scheduler(state, jobs, interrupted).run()
    assert not jobs.is_busy
    assert State.load(found).count("running") == 0


def test_a_training_of_another_identity_is_moved_away_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "at-0"
    for identity in ("first", "second"):
        reserve_folder(folder, identity)
        for name in ("best.safetensors", "last.safetensors"):
            (folder / name).write_text(identity)
        write_mark(folder, identity, finished=True)
    reserve_folder(folder, "first")
    assert (folder / "best.safetensors").read_text() == "first"
    assert trained(folder, "first")
    assert not trained(folder, "second")


def test_a_second_command_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    found = plan(tmp_path)
    with locked(found.campaign.state_folder):
        assert State.load(found).alive
        with pytest.raises(CrossfireError, match="already executes this campaign"):
            locked(found.campaign.state_folder).__enter__()
    assert not State.load(found).alive


def test_progress_and_the_reason_of_failure_are_read_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "at.log"
    assert last_progress(log).total == 0
    line = {"text": "at, epoch 2/3", "done": 2, "total": 3, "seconds_left": 1.5}
    log.write_text(f"error: the loss became nan\n{json.dumps(line)}\n")
    assert last_progress(log) == (2, 3, "at, epoch 2/3", 1.5)
    assert failure_reason(log, 2) == "the loss became nan"
    assert (
        failure_reason(log, -signal.SIGKILL)
        == "was killed by SIGKILL; the machine may have too little memory"
    )


PARENT = """
import sys, time
from pathlib import Path
from bench.campaign.execution.process import start_bench
arguments = ["train", "at", "--epochs", "1000"]
process = start_bench(arguments, Path(sys.argv[1]), {}, open("log", "wb"))
(Path(sys.argv[1]) / "pid").write_text(str(process.pid))
time.sleep(60)
"""


def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=tmp_path)
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.05)
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while _is_running(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_campaign_of_two_steps_writes_its_record(tmp_path: Path) -> None:
    text = """
[train]
epochs = 1
examples = 128

[[run]]
defense = "undefended"

[[evaluate]]
threat = "linf"
examples = 20
images = "none"
"""
    (tmp_path / "c.toml").write_text(text)
    arguments = ["run", str(tmp_path / "c.toml"), "--jobs", "2", "--display", "plain"]
    for message in ("done train undefended-0 in", ""):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.stderr
        assert done.stdout == "2 steps: 2 done\n"
        assert message in done.stderr
    assert len(list((tmp_path / "board" / "records").glob("*.json"))) == 1
    shown = CliRunner().invoke(main, ["status", str(tmp_path / "c.toml"), "--json"])
    assert json.loads(shown.stdout)["counts"]["done"] == 2


def test_a_failed_step_blocks_those_that_need_it_and_the_command_exits_with_1(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Broken:\n"
        '    """A defense that fails."""\n\n    def fit(self, job):\n'
        '        raise ValueError("no fit today")\n'
    )
    text = '[train]\nepochs = 1\nexamples = 128\n\n[[run]]\ndefense = "mine.py"\n\n[[evaluate]]\n'
    (tmp_path / "c.toml").write_text(text + 'threat = "linf"\nexamples = 20\n')
    arguments = ["run", str(tmp_path / "c.toml"), "--jobs", "1", "--display", "plain"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "1 failed" in done.stdout
    assert "1 blocked" in done.stdout
    assert "no fit today" in done.stdout + done.stderr
    assert not list((tmp_path / "board").rglob("*.json"))

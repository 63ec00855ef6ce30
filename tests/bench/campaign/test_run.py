"""Working a plan off: what is begun when, what a failure stops, what is not done again."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.campaign import run
from bench.campaign.file import read
from bench.campaign.jobs import Ended
from bench.campaign.plan import Plan, Step, make
from bench.campaign.run import Work
from bench.campaign.said import progress, why
from bench.campaign.state import State, locked, make_way, mark, trained
from bench.cli import main
from bench.errors import CrossfireError

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
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PAUSE", 0.0)


def plan(folder: Path, text: str = TEXT) -> Plan:
    (folder / "c.toml").write_text(text)
    return make(read(folder / "c.toml"))


class Pretended:
    """Jobs that end at once, and leave what real ones leave."""

    def __init__(self, folder: Path, *failing: str) -> None:
        self.folder, self.failing = folder, failing
        self.begun: list[str] = []
        self._open: list[Step] = []

    def room(self, step: Step) -> bool:
        return not self._open

    def start(self, step: Step, log: Path) -> None:
        self.begun.append(step.key)
        self._open.append(step)
        if step.kind == "train":
            for tag in ("best", "last"):
                (self.folder / step.model / f"{tag}.safetensors").write_bytes(b"")
        else:
            record = {
                "model": {"source": step.model},
                "protocol": {"suites": ["pgd-100"], "examples": 450},
            }
            path = self.folder / step.board / "records" / f"{len(self.begun)}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record))

    def ended(self) -> Iterator[Ended]:
        for step in self._open:
            yield step, "it broke" if step.key in self.failing else None
        self._open = []

    def stop(self) -> None:
        self._open = []

    @property
    def is_busy(self) -> bool:
        return bool(self._open)


def work(found: Plan, *failing: str) -> tuple[State, list[str]]:
    state, jobs = State.load(found), Pretended(found.campaign.folder, *failing)
    assert Work(state, jobs, lambda state: None).run()
    return state, jobs.begun


def test_everything_is_done_once_and_teachers_first(tmp_path: Path) -> None:
    found = plan(tmp_path)
    state, begun = work(found)
    assert begun == list(found.steps)
    assert begun[0] == "train at-0"
    assert state.count("done") == len(found.steps)
    assert work(found)[1] == []


def test_a_failure_stops_only_what_needs_it_and_is_tried_again(tmp_path: Path) -> None:
    found = plan(tmp_path)
    state, begun = work(found, "train at-0")
    assert state.entries["train at-0"].text == "it broke"
    assert state.entries["train student-0"].status == "blocked"
    assert begun == ["train at-0", "train trades-0", "evaluate trades-0 best by pgd-100"]
    assert "train at-0" in work(found)[1]


def test_another_recipe_is_done_and_the_rest_is_not_done_again(tmp_path: Path) -> None:
    work(plan(tmp_path))
    changed = plan(tmp_path, TEXT.replace('"trades"', '"trades"\nepochs = 3'))
    assert work(changed)[1] == ["train trades-0", "evaluate trades-0 best by pgd-100"]
    assert (tmp_path / "runs" / "earlier").is_dir()
    # The former recipe's weights are still there; only they had been measured last.
    assert work(plan(tmp_path))[1][:1] != ["train at-0"]


def test_a_record_that_is_gone_is_measured_again(tmp_path: Path) -> None:
    state, _ = work(plan(tmp_path))
    key = "evaluate at-0 best by pgd-100"
    (tmp_path / "board" / state.entries[key].record).unlink()
    assert work(plan(tmp_path))[1] == [key]


def test_when_the_time_is_up_what_ran_waits_again(tmp_path: Path) -> None:
    state, jobs = State.load(plan(tmp_path)), Pretended(tmp_path)
    assert not Work(state, jobs, lambda state: None, deadline=0.0).run()
    assert state.count("waiting") == len(state.entries)


def test_what_a_killed_command_left_running_is_begun_again(tmp_path: Path) -> None:
    found = plan(tmp_path)
    state = State.load(found)
    state.entries["train at-0"].status = "running"
    state.save()
    with locked(found.campaign.home):
        assert State.load(found).entries["train at-0"].status == "running"
        assert State.load(found, ours=True).entries["train at-0"].status == "waiting"


def test_an_interruption_stops_every_process_and_is_written_down(tmp_path: Path) -> None:
    found = plan(tmp_path)
    state, jobs = State.load(found), Pretended(tmp_path)
    looks = iter([None])

    def interrupted(state: State) -> None:
        if next(looks, "again") == "again" and jobs.is_busy:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Work(state, jobs, interrupted).run()
    assert not jobs.is_busy
    assert State.load(found).count("running") == 0


def test_a_run_of_another_recipe_makes_way_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "at-0"
    for identity in ("first", "second"):
        make_way(folder, identity)
        for name in ("best.safetensors", "last.safetensors"):
            (folder / name).write_text(identity)
        mark(folder, identity, finished=True)
    make_way(folder, "first")
    assert (folder / "best.safetensors").read_text() == "first"
    assert trained(folder, "first")
    assert not trained(folder, "second")


def test_a_second_command_is_refused_while_the_first_is_at_work(tmp_path: Path) -> None:
    found = plan(tmp_path)
    with locked(found.campaign.home):
        assert State.load(found).alive
        with pytest.raises(CrossfireError, match="is at work on this campaign already"):
            locked(found.campaign.home).__enter__()
    assert not State.load(found).alive


def test_a_log_says_how_far_it_is_and_why_it_failed(tmp_path: Path) -> None:
    log = tmp_path / "at.log"
    assert progress(log).total == 0
    line = {"text": "at, epoch 2/3", "done": 2, "total": 3, "seconds_left": 1.5}
    log.write_text(f"error: the loss became nan\n{json.dumps(line)}\n")
    assert progress(log) == (2, 3, "at, epoch 2/3", 1.5)
    assert why(log, 2) == "the loss became nan"
    assert why(log, -signal.SIGKILL) == "was ended by SIGKILL; perhaps there is too little memory"


PARENT = """
import sys, time
from pathlib import Path
from bench.campaign.process import child
words = ["train", "at", "--epochs", "1000"]
process = child(words, Path(sys.argv[1]), {}, open("log", "wb"))
(Path(sys.argv[1]) / "pid").write_text(str(process.pid))
time.sleep(60)
"""


def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=tmp_path)
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.05)
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while _lives(int(pid.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    """Whether a process is there and is no zombie, which only waits for somebody to ask for it."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_campaign_of_two_steps_ends_on_the_board(tmp_path: Path) -> None:
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
    words = ["run", str(tmp_path / "c.toml"), "--jobs", "2", "--display", "plain"]
    for said in ("done train undefended-0 in", ""):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.stderr
        assert done.stdout == "2 steps: 2 done\n"
        assert said in done.stderr
    assert len(list((tmp_path / "board" / "records").glob("*.json"))) == 1
    shown = CliRunner().invoke(main, ["status", str(tmp_path / "c.toml"), "--json"])
    assert json.loads(shown.stdout)["counts"]["done"] == 2

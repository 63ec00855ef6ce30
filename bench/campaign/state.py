"""What is done, what runs and what failed: on disk, whole or not at all, for other commands too."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from bench.campaign.plan import Plan, Step
from bench.errors import CrossfireError
from bench.files import write_atomic

Status = Literal["waiting", "running", "done", "failed", "blocked"]
MARK = "campaign.json"
"""In a run's folder: the identity of what is trained there."""


@dataclass
class Entry:
    """One step: where it stands. `done` of `total` units of its present phase; `left` and `spent`
    in seconds; `record` is the file that an evaluation left."""

    identity: str = ""
    status: Status = "waiting"
    text: str = ""
    done: int = 0
    total: int = 0
    left: float | None = None
    spent: float = 0.0
    record: str = ""


@dataclass
class State:
    """All steps of a plan, by key."""

    plan: Plan
    entries: dict[str, Entry] = field(default_factory=dict)
    alive: bool = False
    """Whether a command is at work on it now."""

    @classmethod
    def load(cls, plan: Plan, *, ours: bool = False) -> "State":
        """What is on the disk, as far as it is of the plan's steps. What runs, waits, unless a
        command is at work on it; with `ours` it is this one, which has the lock."""
        home = plan.campaign.home
        try:
            saved = json.loads((home / "state.json").read_text())
        except (OSError, ValueError):
            saved = {}
        state = cls(plan, alive=not ours and _held(home / "lock"))
        for key, step in plan.steps.items():
            state.entries[key] = _entry(plan, step, saved.get(key, {}), state.alive)
        state.alive = state.alive or ours
        return state

    def save(self) -> None:
        """Write everything down, whole or not at all."""
        plain = {key: asdict(entry) for key, entry in self.entries.items()}
        write_atomic(self.plan.campaign.home / "state.json", json.dumps(plain).encode())

    def ready(self) -> Iterator[Step]:
        """The steps that can be begun now."""
        for key, step in self.plan.steps.items():
            if self.entries[key].status == "waiting" and all(
                self.entries[need].status == "done" for need in step.needs
            ):
                yield step

    def count(self, *statuses: Status) -> int:
        """How many steps are in one of these states."""
        return sum(entry.status in statuses for entry in self.entries.values())

    def fail(self, step: Step, why: str) -> None:
        """A step failed, which blocks those that need it."""
        entry = self.entries[step.key]
        entry.status, entry.text = "failed", why
        for key in self.plan.dependants(step.key):
            self.entries[key].status = "blocked"
            self.entries[key].text = f"needs '{step.key}', which failed"


def _entry(plan: Plan, step: Step, saved: dict[str, object], alive: bool) -> Entry:
    entry = Entry(step.identity)
    if saved.get("identity") == step.identity:
        entry = Entry(**saved)  # type: ignore[arg-type]
        if not alive and entry.status != "done":
            entry = Entry(step.identity, spent=entry.spent)
    folder = plan.campaign.folder
    if step.kind == "train":
        finished = trained(folder / step.model, step.identity)
        if finished or entry.status == "done":
            entry.status = "done" if finished else "waiting"
    elif (
        entry.status == "done" and not (plan.campaign.board_at(step.board) / entry.record).is_file()
    ):
        entry.status = "waiting"
    return entry


def trained(folder: Path, identity: str) -> bool:
    """Whether a training of that identity came to its end in `folder`."""
    mark = _mark(folder)
    whole = (folder / "best.safetensors").is_file() and (folder / "last.safetensors").is_file()
    return whole and mark.get("identity") == identity and bool(mark.get("finished"))


def mark(folder: Path, identity: str, *, finished: bool) -> None:
    """Write down whose run is in `folder`."""
    plain = {"identity": identity, "finished": finished}
    write_atomic(folder / MARK, json.dumps(plain).encode())


def make_way(folder: Path, identity: str) -> None:
    """Let `folder` be for a training of that identity: one of another is moved to `earlier`, and
    one of this identity that was moved there comes back."""
    found = _mark(folder).get("identity")
    if found == identity:
        return
    earlier = folder.parent / "earlier"
    if isinstance(found, str):
        earlier.mkdir(exist_ok=True)
        target = earlier / f"{folder.name}-{found[:8]}"
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    kept = earlier / f"{folder.name}-{identity[:8]}"
    if kept.is_dir() and not folder.exists():
        kept.rename(folder)
    mark(folder, identity, finished=trained(folder, identity))


def _mark(folder: Path) -> dict[str, object]:
    try:
        plain = json.loads((folder / MARK).read_text())
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def newest_record(board: Path, step: Step) -> str:
    """The file, below `board`, of the record that an evaluation just left or found."""
    assert step.evaluation is not None
    wanted = step.evaluation.examples
    for path in sorted((board / "records").glob("[!.]*.json"), key=_age):
        plain = json.loads(path.read_text())
        protocol = plain["protocol"]
        same = plain["model"]["source"], tuple(protocol["suites"]), wanted and protocol["examples"]
        if same == (step.model, step.evaluation.suites, wanted):
            return f"records/{path.name}"
    return ""


def _age(path: Path) -> float:
    return -path.stat().st_mtime


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Nobody else works on this campaign meanwhile.

    Raises:
        CrossfireError: somebody does.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.seek(0)
            raise CrossfireError(
                f"process {stream.read().strip()} is at work on this campaign already; "
                "look at it with: bench status FILE"
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _held(path: Path) -> bool:
    try:
        with path.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False

"""The state of all steps, saved atomically, so that other commands can read it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from bench import files
from bench.campaign.execution.matching import fits
from bench.campaign.execution.plan import Plan, Step
from bench.files import write_atomic
from leaderboard.schema import from_json

Status = Literal["waiting", "running", "done", "failed", "blocked"]
MARK = "campaign.json"
"""File in the folder of a run: the identity of its training."""


@dataclass
class Entry:
    """The state of one step: `done` of `total` units of its present phase; `left` and `spent` in
    seconds; `record` is the file of an evaluation's record."""

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
    """Whether a command executes the campaign now."""

    @classmethod
    def load(cls, plan: Plan, *, locked_here: bool = False) -> "State":
        """The saved state of the plan's steps. Steps that were running are waiting again, unless a
        command executes them; `locked_here` says that this process holds the lock and executes all
        that isn't done."""
        folder = plan.campaign.state_folder
        try:
            saved = json.loads((folder / "state.json").read_text())
        except (OSError, ValueError):
            saved = {}
        state = cls(plan, alive=not locked_here and files.is_locked(folder / "lock"))
        for key, step in plan.steps.items():
            entry = _entry(plan, step, saved.get(key, {}))
            ended = entry.status == "running" and not state.alive
            if ended or (locked_here and entry.status != "done"):
                entry = Entry(step.identity, spent=entry.spent)
            state.entries[key] = entry
        state.alive = state.alive or locked_here
        return state

    def save(self) -> None:
        """Save the state atomically."""
        plain = {key: asdict(entry) for key, entry in self.entries.items()}
        write_atomic(self.plan.campaign.state_folder / "state.json", json.dumps(plain).encode())

    def ready(self) -> Iterator[Step]:
        """The steps that can start now. The checkpoints of a run are measured one after the other,
        because the best may be the last."""
        measured = {
            (step.run, step.seed)
            for key, step in self.plan.steps.items()
            if step.kind == "evaluate" and self.entries[key].status == "running"
        }
        for key, step in self.plan.steps.items():
            if self.entries[key].status != "waiting" or not all(
                self.entries[need].status == "done" for need in step.needs
            ):
                continue
            if step.kind == "evaluate":
                if (step.run, step.seed) in measured:
                    continue
                measured.add((step.run, step.seed))
            yield step

    def count(self, *statuses: Status) -> int:
        """The number of steps in one of these states."""
        return sum(entry.status in statuses for entry in self.entries.values())

    def fail(self, step: Step, reason: str) -> None:
        """Mark a step as failed, and those that need it as blocked."""
        entry = self.entries[step.key]
        entry.status, entry.text = "failed", reason
        for key in self.plan.dependants(step.key):
            self.entries[key].status = "blocked"
            self.entries[key].text = f"needs '{step.key}', which failed"


def _entry(plan: Plan, step: Step, saved: dict[str, object]) -> Entry:
    entry = Entry(step.identity)
    if saved.get("identity") == step.identity:
        entry = Entry(**saved)  # type: ignore[arg-type]
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
    """Whether a training of this identity is complete in `folder`."""
    mark = _read_mark(folder)
    complete = (folder / "best.safetensors").is_file() and (folder / "last.safetensors").is_file()
    return complete and mark.get("identity") == identity and bool(mark.get("finished"))


def write_mark(folder: Path, identity: str, *, finished: bool) -> None:
    """Save the identity of the training in `folder`."""
    plain = {"identity": identity, "finished": finished}
    write_atomic(folder / MARK, json.dumps(plain).encode())


def reserve_folder(folder: Path, identity: str) -> None:
    """Prepare `folder` for a training of this identity: a training of another identity is moved to
    `earlier`, and one of this identity that was moved there is moved back."""
    found = _read_mark(folder).get("identity")
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
    write_mark(folder, identity, finished=trained(folder, identity))


def _read_mark(folder: Path) -> dict[str, object]:
    try:
        plain = json.loads((folder / MARK).read_text())
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def newest_record(plan: Plan, step: Step) -> str:
    """The file, relative to the step's board, of the newest record of an evaluation."""
    board = plan.campaign.board_at(step.board)
    for path in sorted((board / "records").glob("[!.]*.json"), key=_age):
        text = path.read_bytes()
        try:
            named = json.loads(text)["model"]["source"] == step.model
            if named and fits(from_json(text), step, plan.campaign):
                return f"records/{path.name}"
        except (ValueError, LookupError, TypeError):  # a damaged record is nobody's
            continue
    return ""


def _age(path: Path) -> float:
    return -path.stat().st_mtime


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of a campaign, so that no other process executes it.

    Raises:
        CrossfireError: another process holds it.
    """
    doing = "executes this campaign; show its state with: bench status FILE"
    return files.locked(folder / "lock", doing)

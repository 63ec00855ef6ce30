"""Works a plan off: begins what is ready, writes down what is done, and says what failed."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.campaign.jobs import Jobs
from bench.campaign.plan import Step
from bench.campaign.said import progress
from bench.campaign.state import State, make_way, mark, newest_record
from bench.errors import CrossfireError, reason

PAUSE = 0.2
SECONDS_BETWEEN_LOOKS = 1.0
View = Callable[[State], None]
Keep = Callable[[Step, str], None]
"""Called with each step that is done and its record's file, if it has one."""


def nowhere(step: Step, record: str) -> None:
    """Keep it here alone."""


@dataclass
class Work:
    """A state, where its steps run, and who looks on.

    `keep` takes what is done to somewhere safe; at `deadline`, by `time.monotonic`, all is stopped.
    """

    state: State
    jobs: Jobs
    view: View
    keep: Keep = nowhere
    deadline: float = float("inf")
    begun: dict[str, float] = field(default_factory=dict)

    def run(self) -> bool:
        """Do all that can be done; False if the time was up before.

        An exception, KeyboardInterrupt too, stops every step; the same call goes on from there.
        """
        looked = 0.0
        try:
            while self._begin() or self.begun:
                if time.monotonic() > self.deadline:
                    return False
                ended = list(self.jobs.ended())
                for step, failed in ended:
                    self._end(step, failed)
                if ended or time.monotonic() - looked >= SECONDS_BETWEEN_LOOKS:
                    looked = time.monotonic()
                    self._look()
                time.sleep(PAUSE)
        finally:
            self._stop()
        return True

    def _begin(self) -> bool:
        """Begin as many steps as there is room for; whether any was begun."""
        before = len(self.begun)
        for step in [step for step in self.state.ready() if self.jobs.room(step)]:
            if not self.jobs.room(step):
                continue
            log = self._log(step)
            log.parent.mkdir(parents=True, exist_ok=True)
            if step.kind == "train":
                make_way(self._folder / step.model, step.identity)
            self.begun[step.key] = time.monotonic()
            self.state.entries[step.key].status = "running"
            log.write_bytes(b"")
            self.jobs.start(step, log)
        begun = len(self.begun) > before
        if begun:
            self._look()
        return begun

    def _end(self, step: Step, failed: str | None) -> None:
        entry = self.state.entries[step.key]
        entry.spent += time.monotonic() - self.begun.pop(step.key)
        if failed is None:
            failed = self._keep(step)
        if failed is None:
            entry.status, entry.text, entry.left = "done", "", 0.0
            entry.done = entry.total
        else:
            self.state.fail(step, failed)

    def _keep(self, step: Step) -> str | None:
        """Write down what a step left, here and elsewhere; why that failed, if it did."""
        entry = self.state.entries[step.key]
        try:
            if step.kind == "train":
                mark(self._folder / step.model, step.identity, finished=True)
            else:
                entry.record = newest_record(self.state.plan.campaign.board_at(step.board), step)
            self.keep(step, entry.record)
        except (CrossfireError, OSError) as error:
            return reason(error)
        return None

    def _look(self) -> None:
        for key in self.begun:
            entry, said = self.state.entries[key], progress(self._log(self.state.plan.steps[key]))
            entry.done, entry.total, entry.text, entry.left = said
        self.state.save()
        self.view(self.state)

    def _stop(self) -> None:
        self.jobs.stop()
        for key, began in self.begun.items():
            entry = self.state.entries[key]
            entry.status, entry.spent = "waiting", entry.spent + time.monotonic() - began
        self.begun.clear()
        self._look()

    def _log(self, step: Step) -> Path:
        return log_of(self.state, step)

    @property
    def _folder(self) -> Path:
        return self.state.plan.campaign.folder


def log_of(state: State, step: Step) -> Path:
    """Where a step's process writes what it says."""
    name = step.key.replace(" ", "-").replace("/", "_").replace(":", "_")
    return state.plan.campaign.home / "logs" / f"{name}.log"

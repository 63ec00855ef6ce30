"""The scheduler: starts steps when they are ready, and saves the state of all."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.campaign.execution.local_jobs import Jobs
from bench.campaign.execution.plan import Step
from bench.campaign.execution.process_log import last_progress
from bench.campaign.execution.state import State, newest_record, reserve_folder, write_mark
from bench.errors import CrossfireError, reason

PAUSE = 0.2
SECONDS_BETWEEN_REFRESHES = 1.0
Display = Callable[[State], None]
Keep = Callable[[Step, str], None]
"""Called with each finished step and the file of its record, if it has one."""


def keep_locally(step: Step, record: str) -> None:
    """Copy nothing: the results stay in the campaign's folder."""


@dataclass
class Scheduler:
    """Executes the steps of a state on a backend, and displays the state.

    `keep` copies the results of each finished step to storage; at `deadline`, by `time.monotonic`,
    all steps are stopped.
    """

    state: State
    jobs: Jobs
    display: Display
    keep: Keep = keep_locally
    deadline: float = float("inf")
    started: dict[str, float] = field(default_factory=dict)

    def run(self) -> bool:
        """Execute all steps that can be; False if the deadline came first.

        An exception, KeyboardInterrupt too, stops every step; the same call resumes.
        """
        refreshed = 0.0
        try:
            while self._start() or self.started:
                if time.monotonic() > self.deadline:
                    return False
                ended = list(self.jobs.ended())
                for step, failed in ended:
                    self._end(step, failed)
                if ended or time.monotonic() - refreshed >= SECONDS_BETWEEN_REFRESHES:
                    refreshed = time.monotonic()
                    self._refresh()
                time.sleep(PAUSE)
        finally:
            self._stop()
        return True

    def _start(self) -> bool:
        """Start as many steps as the backend has capacity for; whether any was started."""
        before = len(self.started)
        for step in [step for step in self.state.ready() if self.jobs.has_capacity(step)]:
            if not self.jobs.has_capacity(step):
                continue
            log = self._log(step)
            log.parent.mkdir(parents=True, exist_ok=True)
            if step.kind == "train":
                reserve_folder(self._folder / step.model, step.identity)
            self.started[step.key] = time.monotonic()
            self.state.entries[step.key].status = "running"
            log.write_bytes(b"")
            self.jobs.start(step, log)
        started = len(self.started) > before
        if started:
            self._refresh()
        return started

    def _end(self, step: Step, failed: str | None) -> None:
        entry = self.state.entries[step.key]
        entry.spent += time.monotonic() - self.started.pop(step.key)
        if failed is None:
            failed = self._keep(step)
        if failed is None:
            entry.status, entry.text, entry.left = "done", "", 0.0
            entry.done = entry.total
        else:
            self.state.fail(step, failed)

    def _keep(self, step: Step) -> str | None:
        """Save the results of a step, here and in the storage; return the reason of a failure."""
        entry = self.state.entries[step.key]
        try:
            if step.kind == "train":
                write_mark(self._folder / step.model, step.identity, finished=True)
            else:
                entry.record = newest_record(self.state.plan, step)
            self.keep(step, entry.record)
        except (CrossfireError, OSError) as error:
            return reason(error)
        return None

    def _refresh(self) -> None:
        for key in self.started:
            entry, log = self.state.entries[key], self._log(self.state.plan.steps[key])
            entry.done, entry.total, entry.text, entry.left = last_progress(log)
        self.state.save()
        self.display(self.state)

    def _stop(self) -> None:
        self.jobs.stop()
        for key, start in self.started.items():
            entry = self.state.entries[key]
            entry.status, entry.spent = "waiting", entry.spent + time.monotonic() - start
        self.started.clear()
        self._refresh()

    def _log(self, step: Step) -> Path:
        return log_of(self.state, step)

    @property
    def _folder(self) -> Path:
        return self.state.plan.campaign.folder


def log_of(state: State, step: Step) -> Path:
    """The file of the output of a step's process."""
    name = step.key.replace(" ", "-").replace("/", "_").replace(":", "_")
    return state.plan.campaign.state_folder / "logs" / f"{name}.log"

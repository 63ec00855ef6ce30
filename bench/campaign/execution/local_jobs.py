"""Steps as processes on this machine, a few at a time."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from bench.campaign.execution.plan import Step
from bench.campaign.execution.process import kill, start_bench, thread_limits
from bench.campaign.execution.process_log import failure_reason

Ended = tuple[Step, str | None]
"""A step and the reason of its failure; None if it succeeded."""


@runtime_checkable  # the tests check argument types as they run
class Jobs(Protocol):
    """A backend that runs steps."""

    def has_capacity(self, step: Step) -> bool:
        """Whether the step can start now."""

    def start(self, step: Step, log: Path) -> None:
        """Start a step, whose process writes to `log`."""

    def ended(self) -> Iterator[Ended]:
        """The steps that ended since the last call."""

    def stop(self) -> None:
        """Kill all steps; they can be resumed."""


def cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs() -> int:
    """One process for each GPU, or for each core if there is no GPU."""
    return torch.cuda.device_count() or cores()


class LocalJobs:
    """At most `jobs` processes in `folder`, among which cores and GPUs are divided.

    `extra` are further arguments of an evaluation's command.
    """

    def __init__(self, folder: Path, jobs: int, extra: Sequence[str] = ()) -> None:
        self._folder, self._extra = folder, tuple(extra)
        self._free = list(range(jobs))[::-1]
        self._threads = str(max(1, cores() // jobs))
        self._running: dict[str, tuple[Step, int, subprocess.Popen[bytes], Path]] = {}

    def has_capacity(self, step: Step) -> bool:
        """Whether another process may start."""
        return bool(self._free)

    def start(self, step: Step, log: Path) -> None:
        """Start a step in a process of its own."""
        slot = self._free.pop()
        arguments = (*step.command, *(self._extra if step.kind == "evaluate" else ()))
        with log.open("ab") as stream:
            environment = thread_limits(self._threads) | _gpu(slot, step.devices)
            process = start_bench(arguments, self._folder, environment, stream)
        self._running[step.key] = step, slot, process, log

    def ended(self) -> Iterator[Ended]:
        """The steps whose processes have ended."""
        for step, slot, process, log in list(self._running.values()):
            code = process.poll()
            if code is not None:
                del self._running[step.key]
                self._free.append(slot)
                kill(process)
                yield step, None if code == 0 else failure_reason(log, code)

    def stop(self) -> None:
        """Kill every process; each resumes from what it last saved."""
        for _, _, process, _ in self._running.values():
            process.kill()
        for _, slot, process, _ in self._running.values():
            kill(process)
            self._free.append(slot)
        self._running.clear()


def _gpu(slot: int, devices: int) -> dict[str, str]:
    """Environment variables that show one GPU to a process; all GPUs if it takes several."""
    count = torch.cuda.device_count()
    if not count or devices > 1:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[slot % count]}

"""Steps as processes on this machine, a few at a time."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from bench.campaign.plan import Step
from bench.campaign.process import child, end, threads
from bench.campaign.said import why

Ended = tuple[Step, str | None]
"""A step and why it failed; None if it didn't."""


@runtime_checkable  # the tests check argument types as they run
class Jobs(Protocol):
    """Where steps run."""

    def room(self, step: Step) -> bool:
        """Whether a step may be begun now."""

    def start(self, step: Step, log: Path) -> None:
        """Begin a step, whose process writes to `log`."""

    def ended(self) -> Iterator[Ended]:
        """The steps that ended since this was asked last."""

    def stop(self) -> None:
        """End everything at once; it can go on later."""


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs() -> int:
    """A process for each GPU, or, where there is none, for each core."""
    return torch.cuda.device_count() or cores()


class LocalJobs:
    """At most `jobs` processes in `folder`; cores and GPUs are shared out among them.

    `extra` are further words for an evaluation's command.
    """

    def __init__(self, folder: Path, jobs: int, extra: Sequence[str] = ()) -> None:
        self._folder, self._extra = folder, tuple(extra)
        self._free = list(range(jobs))[::-1]
        self._threads = str(max(1, cores() // jobs))
        self._open: dict[str, tuple[Step, int, subprocess.Popen[bytes], Path]] = {}

    def room(self, step: Step) -> bool:
        """Whether there may be another process."""
        return bool(self._free)

    def start(self, step: Step, log: Path) -> None:
        """Begin a step in a process of its own."""
        place = self._free.pop()
        words = (*step.command, *(self._extra if step.kind == "evaluate" else ()))
        with log.open("ab") as stream:
            environment = threads(self._threads) | _gpu(place, step.devices)
            process = child(words, self._folder, environment, stream)
        self._open[step.key] = step, place, process, log

    def ended(self) -> Iterator[Ended]:
        """The steps whose processes have ended."""
        for step, place, process, log in list(self._open.values()):
            code = process.poll()
            if code is not None:
                del self._open[step.key]
                self._free.append(place)
                end(process)
                yield step, None if code == 0 else why(log, code)

    def stop(self) -> None:
        """Kill every process: each goes on from what it last wrote down."""
        for _, _, process, _ in self._open.values():
            process.kill()
        for _, place, process, _ in self._open.values():
            end(process)
            self._free.append(place)
        self._open.clear()


def _gpu(place: int, devices: int) -> dict[str, str]:
    """The environment in which a process sees one GPU; one that takes several sees all."""
    count = torch.cuda.device_count()
    if not count or devices > 1:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count))))
    return {"CUDA_VISIBLE_DEVICES": visible.split(",")[place % count]}

"""Progress and errors of a step's process, read from the end of its log."""

import json
import os
import signal
from pathlib import Path
from typing import NamedTuple

TAIL = 8192
"""Bytes that are read from the end of a log."""


class StepProgress(NamedTuple):
    """Units done, units in all, the present phase, and the seconds left."""

    done: int = 0
    total: int = 0
    text: str = ""
    left: float | None = None


def tail(log: Path) -> list[str]:
    """The last lines of a log."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
            return stream.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def last_progress(log: Path) -> StepProgress:
    """The progress that the newest line of the log reports."""
    for line in reversed(tail(log)):
        if line.startswith('{"text"'):
            try:
                plain = json.loads(line)
            except ValueError:
                continue
            return StepProgress(plain["done"], plain["total"], plain["text"], plain["seconds_left"])
    return StepProgress()


def failure_reason(log: Path, code: int) -> str:
    """The reason why a process ended with exit code `code`, in one line."""
    if code < 0:
        name = signal.Signals(-code).name
        more = "; the machine may have too little memory" if -code == signal.SIGKILL else ""
        return f"was killed by {name}{more}"
    lines = [line for line in tail(log) if line.strip() and not line.startswith('{"text"')]
    return lines[-1].removeprefix("error: ").strip() if lines else f"ended with exit code {code}"

"""What a step's process said, from the end of its log."""

import json
import os
import signal
from pathlib import Path
from typing import NamedTuple

TAIL = 8192


class Said(NamedTuple):
    """The last word on progress: units done and in all, what of, and the seconds left."""

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


def progress(log: Path) -> Said:
    """The newest line of progress."""
    for line in reversed(tail(log)):
        if line.startswith('{"text"'):
            try:
                plain = json.loads(line)
            except ValueError:
                continue
            return Said(plain["done"], plain["total"], plain["text"], plain["seconds_left"])
    return Said()


def why(log: Path, code: int) -> str:
    """Why a process ended with that code, in one line."""
    if code < 0:
        name = signal.Signals(-code).name
        more = "; perhaps there is too little memory" if -code == signal.SIGKILL else ""
        return f"was ended by {name}{more}"
    words = [line for line in tail(log) if line.strip() and not line.startswith('{"text"')]
    return words[-1].removeprefix("error: ").strip() if words else f"ended with code {code}"

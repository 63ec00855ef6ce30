"""A step's process."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO


def child(
    words: Sequence[str], folder: Path, environment: dict[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """A process that runs `bench` with these words, writes all it says to `log`, and ends with this
    one. What is typed at the terminal doesn't reach it."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.cli._child", *words, "--display", "json"],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def threads(count: str) -> dict[str, str]:
    """The environment in which a process computes with so many threads."""
    return {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, if it is still there, and take leave of it."""
    process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()

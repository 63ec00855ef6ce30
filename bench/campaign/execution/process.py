"""The process of a step."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO


def start_bench(
    arguments: Sequence[str], folder: Path, environment: dict[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start `bench` with these arguments in `folder`, with its output in `log`.

    The process ends when this one ends, and does not receive the terminal's signals.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "bench.cli._child", *arguments, "--display", "json"],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def thread_limits(count: str) -> dict[str, str]:
    """Environment variables that limit a process to `count` threads."""
    return {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process if it still runs, and wait for its end."""
    process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()

"""The software and the CPU that a result was computed with."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

PACKAGES = {"crossfire": "crossfire-bench", "torch": "torch", "numpy": "numpy"}


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version()} | {
        name: version(package) for name, package in PACKAGES.items()
    }


@cache
def processor() -> str:
    """The CPU's name and its bf16 instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    about = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    fast = {"amx_bf16", "avx512_bf16"} & set(about.get("flags", "").split())
    name = about.get("model name") or platform.processor() or platform.machine()
    return ", ".join([name, *sorted(fast)])


@cache
def commit() -> tuple[str | None, bool | None]:
    """The commit of the running checkout and whether it has changes; (None, None) for a wheel.

    Cached, because it describes the code that was loaded, even if the checkout changes later.
    """
    here = Path(__file__).parents[2]
    if not (here / ".git").exists():
        return None, None
    revision = _git(here, "rev-parse", "HEAD")
    return revision, bool(_git(here, "status", "--porcelain", "-uno")) if revision else None


def _git(folder: Path, *command: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", folder, *command], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None

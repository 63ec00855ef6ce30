"""What a number was made with: versions and commit."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

PACKAGES = {"crossfire": "crossfire-bench", "torch": "torch", "numpy": "numpy"}


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that a number depends on."""
    return {"python": platform.python_version()} | {
        name: version(package) for name, package in PACKAGES.items()
    }


@cache
def processor() -> str:
    """The processor's name, and the fast arithmetic that it has."""
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
    """The commit of the checkout that runs and whether it was changed; (None, None) for a wheel.

    Asked once: it is about the code that was loaded, whatever happens to the checkout later.
    """
    here = Path(__file__).parents[1]
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

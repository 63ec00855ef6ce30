"""Versions, devices, arithmetic and free disk space of this machine, and missing extras."""

import importlib
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch

from bench.compute.environment import commit
from bench.compute.precision import resolve
from bench.errors import reason

EXTRAS = {
    "zoo": ("robustbench", "robustbench:ID"),
    "cluster": ("ray", "bench evaluate --ray"),
    "hf": ("datasets", "hf:NAME and hf-hub:OWNER/NAME"),
    "timm": ("timm", "timm:NAME"),
    "imitation": ("stable_baselines3", "bench imitate"),
}
"""Extra -> the module that it installs, and what needs it."""
PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "pyautoattack", "safetensors")

Row = tuple[str, str]
"""A name and its value."""


def environment(folder: Path) -> list[Row]:
    """Versions, devices with the arithmetic that attacks will use there, and free space at
    `folder`."""
    revision, dirty = commit()
    checkout = f", commit {revision[:12]}{' (changed)' if dirty else ''}" if revision else ""
    free = shutil.disk_usage(folder).free / 2**30
    return [
        ("crossfire", _version("crossfire-bench") + checkout),
        ("python", f"{platform.python_version()} on {platform.platform(terse=True)}"),
        *((name, _version(name)) for name in PACKAGES),
        ("torchvision works", _torchvision()),
        *_devices(),
        ("free disk", f"{free:.1f} GiB in {folder.absolute()}"),
        ("data", os.environ.get("CROSSFIRE_DATA", "~/.cache/crossfire")),
    ]


def extras() -> list[Row]:
    """For each extra, "installed", or the command that installs it and what needs it."""
    rows = []
    for extra, (module, what) in EXTRAS.items():
        line = f"missing; {what} needs it: pip install 'crossfire-bench[{extra}]'"
        rows.append((extra, "installed" if find_spec(module) else line))
    return rows


def _devices() -> list[Row]:
    cpu = torch.device("cpu")
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {resolve('auto', cpu)}"
    rows = [("cpu", cores)]
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        name = torch.cuda.get_device_name(device)
        rows.append((f"cuda:{index}", f"{name}, {memory:.0f} GiB, {resolve('auto', device)}"))
    return rows if len(rows) > 1 else [*rows, ("cuda", "none")]


def _torchvision() -> str:
    try:
        importlib.import_module("torchvision.datasets")
    except (ImportError, OSError, RuntimeError) as error:
        return f"no ({reason(error)}); digits, npz: and folder: work without it"
    return "yes"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"

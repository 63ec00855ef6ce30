"""RobustBench's models, from weights that are on this machine already.

The published wheel imports `autoattack`, which exists on the index as `pyautoattack`, and
`pkg_resources`, which setuptools has dropped; both are provided here. Its loader is used, because
it handles the peculiarities of each model, but nothing is downloaded and no pickle is run.
"""

import importlib
import os
import pickle
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import CrossfireError
from bench.models.libraries import check_name, missing
from bench.models.sources.request import Found, Request
from bench.models.sources.weights import check_saved

FOLDER = Path("models")
"""RobustBench's default folder of weights."""


def from_robustbench(request: Request) -> Found:
    """`robustbench:[DATASET/THREAT/]ID`, with weights in models/DATASET/THREAT/ID.pt or --weights.

    --weights is the file, or another folder in place of models.

    Raises:
        CrossfireError: RobustBench is not installed, it has no such model, or the weights are
            missing; the message says where to download them.
    """
    zoo = _import(request.spec)
    entries = _entries(zoo)
    path = _resolve(request.spec, request.rest, list(entries))
    drive = entries[path].get("gdrive_id")
    if drive is None:
        raise CrossfireError(f"{request.spec} has no weights of its own; take it from timm:")
    with tempfile.TemporaryDirectory() as scratch:
        folder = request.weights or FOLDER
        if folder.is_file():
            _link(folder, Path(scratch) / f"{path}.pt")
            folder = Path(scratch)
        _check_files(request.spec, folder / path, drive)
        return Found(_load(zoo, request.spec, path, folder), path, path.rpartition("/")[2])


def make_importable() -> None:
    """Provide the modules that RobustBench's wheel imports and does not find."""
    import pyautoattack

    sys.modules.setdefault("autoattack", pyautoattack)
    if "pkg_resources" not in sys.modules and importlib.util.find_spec("pkg_resources") is None:
        sys.modules["pkg_resources"] = ModuleType("pkg_resources")


def _import(spec: str) -> ModuleType:
    make_importable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("robustbench.utils")
    except (ImportError, RuntimeError, OSError) as error:
        raise missing(spec, "zoo", error) from error


def _entries(zoo: ModuleType) -> dict[str, dict[str, Any]]:
    return {
        f"{dataset.value}/{threat.value}/{name}": entry
        for dataset, threats in zoo.all_models.items()
        for threat, models in threats.items()
        for name, entry in models.items()
    }


def _resolve(spec: str, name: str, paths: list[str]) -> str:
    fitting = [path for path in paths if path == name or path.endswith(f"/{name}")]
    if not fitting:
        check_name(spec, name, [path.rpartition("/")[2] for path in paths])
    if len(fitting) > 1:
        listed = " or ".join(f"robustbench:{path}" for path in fitting)
        raise CrossfireError(f"there are several models '{spec}'; write {listed}")
    return fitting[0]


def _link(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.symlink_to(file.absolute())


def _check_files(spec: str, path: Path, drive: str | list[str]) -> None:
    ids = {f"{path}.pt": drive}
    if isinstance(drive, list):
        ids = {f"{path}.pt_m{number}.pt": part for number, part in enumerate(drive)}
    for file, part in ids.items():
        if not os.path.isfile(file):
            raise CrossfireError(
                f"{spec} needs {file}; download https://drive.google.com/uc?id={part} to it"
            )
        check_saved(Path(file).resolve())


def _load(zoo: ModuleType, spec: str, path: str, folder: Path) -> Any:  # noqa: ANN401
    dataset, threat, name = path.split("/")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return zoo.load_model(name, folder, dataset, threat)
    except pickle.UnpicklingError:
        raise CrossfireError(
            f"the weights of {spec} hold more than tensors, and loading them could run any code"
        ) from None
    except (RuntimeError, KeyError, EOFError, OSError, ValueError) as error:
        details = " ".join(str(error).split())[:200]
        raise CrossfireError(f"the weights of {spec} do not load ({details})") from error

"""Hashes of all that a step's result depends on: a finished step is not repeated if they agree."""

import hashlib
import inspect
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.attacks.learned import attacker_file
from bench.data import path_of
from bench.files import sha256_file
from bench.plugins import specs
from bench.plugins.registry import defenses, get_defense
from bench.plugins.source import bare_code


def digest(*parts: Any) -> str:  # noqa: ANN401
    """The sha256, in hexadecimal, of plain values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def data(name: str, folder: Path) -> str:
    """The identity of a data set: the hash of a file, names and sizes of the files in a folder, or
    the name of a public data set."""
    path = path_of(name, folder)
    if path is None:
        return name
    if name.startswith("npz:"):
        return _file(folder / path)
    files = sorted(file for file in (folder / path).rglob("*") if file.is_file())
    return digest(name, [(file.relative_to(folder / path), file.stat().st_size) for file in files])


def model(spec: str, folder: Path) -> str:
    """The identity of a model or attack: its name, and the hash of the file that it names, if any,
    or of the code of a Python file."""
    own = specs.parse(spec)
    path = folder / (own.file if own else spec.partition(":")[0])
    if own and path.is_file():
        return digest(spec, _code(path, path.stat().st_mtime_ns))
    path = path / "best.safetensors" if path.is_dir() else path
    return digest(spec, _file(path) if path.is_file() else None)


def attacker(name: str, folder: Path) -> str:
    """The identity of a learned attack: its name, and the hash of its file, if any."""
    path = attacker_file(folder / name)
    return digest(name, _file(path) if path.is_file() else None)


def code(defense: str, folder: Path) -> str:
    """The hash of a defense's code: of its file and of the modules beside it that it imports,
    without comments and docstrings. Of a plugin it is also the version of its package."""
    if defense.endswith(".py"):
        return _code(folder / defense, (folder / defense).stat().st_mtime_ns)
    module = f"defenses.{defense.replace('-', '_')}"
    spec = find_spec(module)
    if spec is not None and spec.origin is not None:
        return _code(Path(spec.origin), 0)
    source = inspect.getsourcefile(get_defense(defense))
    return digest(defenses()[defense].origin, _code(Path(source), 0) if source else "")


@cache
def _code(file: Path, changed: int) -> str:
    """The hash of a file's modules; `changed`, when it was written, only tells versions apart in
    the cache."""
    return digest(bare_code(file))


@cache
def _file(path: Path) -> str:
    return sha256_file(path)

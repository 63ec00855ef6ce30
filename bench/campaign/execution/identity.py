"""Hashes of all that a step's result depends on: a finished step is not repeated if they agree."""

import ast
import hashlib
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.files import sha256_file


def digest(*parts: Any) -> str:  # noqa: ANN401
    """The sha256, in hexadecimal, of plain values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def data(name: str, folder: Path) -> str:
    """The identity of a data set: the hash of a file, names and sizes of the files in a folder, or
    the name of a public data set."""
    scheme, _, rest = name.partition(":")
    if scheme == "npz":
        return _file(folder / rest)
    if scheme == "folder":
        directory = folder / rest.partition("@")[0]
        paths = sorted(path for path in directory.rglob("*") if path.is_file())
        return digest(name, [(path.relative_to(directory), path.stat().st_size) for path in paths])
    return name


def model(spec: str, folder: Path) -> str:
    """The identity of a model: its name, and the hash of the file that it names, if any."""
    path = folder / spec.partition(":")[0]
    path = path / "best.safetensors" if path.is_dir() else path
    return digest(spec, _file(path) if path.is_file() else None)


def code(defense: str, folder: Path) -> str:
    """The hash of a defense's code: of its file and of the other modules of `defenses` that it
    imports, without comments and docstrings."""
    if defense.endswith(".py"):
        return digest(_bare_code((folder / defense).read_text()))
    module = f"defenses.{defense.replace('-', '_')}"
    return _code(module) if find_spec(module) else defense


@cache
def _code(module: str) -> str:
    seen: dict[str, str] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        spec = find_spec(name)
        if name in seen or spec is None or spec.origin is None:
            continue
        text = Path(spec.origin).read_text()
        seen[name] = _bare_code(text)
        pending += [one for one in _imports(text) if one.startswith("defenses.")]
    return digest(seen)


def _imports(text: str) -> list[str]:
    nodes = ast.walk(ast.parse(text))
    return [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]


def _bare_code(text: str) -> str:
    """The code without comments, docstrings and layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Pass()
    return ast.unparse(tree)


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _file(path: Path) -> str:
    return sha256_file(path)

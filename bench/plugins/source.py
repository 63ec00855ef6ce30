"""The code of a user's class, or Python file and the modules beside it, by what it does."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.files import sha256_bytes


def modules(file: Path, name: str = "") -> list[Path]:
    """A Python file, and the files below its folder that it imports, directly or indirectly; with
    `name` only what this one of its functions needs."""
    found: list[Path] = []
    pending = [file]
    while pending:
        path = pending.pop()
        if path not in found:
            found.append(path)
            tree = _parsed(path, name if path == file else "")
            pending += [one for one in _imports(tree, path, file.parent) if one.is_file()]
    return sorted(found)


def bare_code(file: Path, name: str = "") -> dict[str, str]:
    """The code of a file's modules, by their places relative to its folder, without comments,
    docstrings and layout; of the file itself, with `name`, only what this function needs."""
    return {
        str(path.relative_to(file.parent)): _bare(_parsed(path, name if path == file else ""))
        for path in modules(file, name)
    }


def code_sha256(file: Path, name: str = "") -> str:
    """The hash, in hexadecimal, of `bare_code`."""
    return sha256_bytes(json.dumps(bare_code(file, name), sort_keys=True).encode())


def class_sha256(kind: type) -> str | None:
    """The hash, in hexadecimal, of the bare code of a class, and of each of its methods, because
    notebooks keep only these; None if no source can be had."""
    methods = [part for part in vars(kind).values() if inspect.isfunction(part)]
    own: list[Any] = [kind, *(one for one in methods if one.__module__ == kind.__module__)]
    found = []
    for part in own:
        with suppress(OSError, TypeError, SyntaxError):
            found.append(_bare(ast.parse(textwrap.dedent(inspect.getsource(part)))))
    return sha256_bytes(json.dumps(found).encode()) if found else None


def _parsed(path: Path, name: str) -> ast.Module:
    tree = ast.parse(path.read_text())
    return _needed(tree, name) if name else tree


def _needed(tree: ast.Module, name: str) -> ast.Module:
    """A module without the definitions that `name` doesn't use, directly or indirectly."""
    used, kept = {name}, list[ast.stmt]()
    left = list(tree.body)
    while more := [one for one in left if not _defined(one) or _defined(one) & used]:
        kept += more
        left = [one for one in left if one not in more]
        used |= {n.id for one in more for n in ast.walk(one) if isinstance(n, ast.Name)}
    return ast.Module([one for one in tree.body if one in kept], [])


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a definition, an import or an assignment gives a value; empty for others."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            found = {(alias.asname or alias.name).partition(".")[0] for alias in names}
            return set() if "*" in found else found
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()


def _imports(tree: ast.Module, path: Path, folder: Path) -> Iterator[Path]:
    """Where the modules that a file imports lie, if they lie in the folder or beside the file."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module or ''}.{name}" for name in names)]
        for name in names:
            yield folder.joinpath(*name.split(".")).with_suffix(".py")
            yield path.with_name(f"{name.rpartition('.')[2]}.py")


def _bare(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[:1] = [ast.Pass()] if len(body) == 1 else []
    return ast.unparse(tree)


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )

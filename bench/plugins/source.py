"""The code of a user's Python file and of the modules beside it, by what it does."""

import ast
from collections.abc import Iterator
from pathlib import Path


def modules(file: Path) -> list[Path]:
    """A Python file, and the files below its folder that it imports, directly or indirectly."""
    found: list[Path] = []
    pending = [file]
    while pending:
        path = pending.pop()
        if path not in found:
            found.append(path)
            pending += [one for one in _imports(path, file.parent) if one.is_file()]
    return sorted(found)


def bare_code(file: Path) -> dict[str, str]:
    """The code of a file's modules, by their places relative to its folder, without comments,
    docstrings and layout."""
    return {str(path.relative_to(file.parent)): _bare(path.read_text()) for path in modules(file)}


def _imports(path: Path, folder: Path) -> Iterator[Path]:
    """Where the modules that a file imports lie, if they lie in the folder or beside the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module or ''}.{name}" for name in names)]
        for name in names:
            yield folder.joinpath(*name.split(".")).with_suffix(".py")
            yield path.with_name(f"{name.rpartition('.')[2]}.py")


def _bare(text: str) -> str:
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

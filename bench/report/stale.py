"""Rendered files: whether they are out of date, and how to renew them."""

from pathlib import Path

from bench.errors import CrossfireError
from bench.files import write_atomic

BEGIN, END = "<!-- begin bench report -->", "<!-- end bench report -->"
"""Marks around the part of a document that is rendered; the rest of it stays as it is."""


def renewed(path: Path, text: str) -> str:
    """What `path` should hold: `text`, or its own content with `text` between the marks.

    Raises:
        CrossfireError: the file has one mark without the other.
    """
    former = path.read_text(encoding="utf-8") if path.exists() else ""
    if BEGIN not in former and END not in former:
        return text
    head, begin, rest = former.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise CrossfireError(f"{path} needs both marks, '{BEGIN}' and, after it, '{END}'")
    return f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}"


def is_stale(path: Path, text: str) -> bool:
    """Whether writing `text` would change the file."""
    return not path.exists() or path.read_text(encoding="utf-8") != renewed(path, text)


def renew(path: Path, text: str) -> None:
    """Write `text` into the file, all of it or between its marks."""
    write_atomic(path, renewed(path, text).encode())

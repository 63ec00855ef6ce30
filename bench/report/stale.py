"""Rendered files: whether they are out of date, and how to renew them."""

from pathlib import Path

from bench.errors import CrossfireError
from bench.files import write_atomic

BEGIN, END = "<!-- begin bench report -->", "<!-- end bench report -->"
"""Marks around the part of a document that is rendered; the rest of it stays as it is."""


def renewed(path: Path, text: str) -> bytes:
    """What `path` should hold: `text`, or its own content with `text` between the marks, in lines
    that end as its own do.

    Raises:
        CrossfireError: the file has one mark without the other.
    """
    former = path.read_bytes() if path.is_file() else b""
    first, last = BEGIN.encode(), END.encode()
    if first not in former and last not in former:
        return text.encode()
    head, begin, rest = former.partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end:
        raise CrossfireError(f"{path} needs both marks, '{BEGIN}' and, after it, '{END}'")
    between = f"\n\n{text.strip()}\n\n".encode()
    if b"\r\n" in former:
        between = between.replace(b"\n", b"\r\n")
    return head + begin + between + end + tail


def is_stale(path: Path, text: str) -> bool:
    """Whether writing `text` would change the file."""
    return not path.is_file() or path.read_bytes() != renewed(path, text)


def renew(path: Path, text: str) -> None:
    """Write `text` into the file, all of it or between its marks."""
    write_atomic(path, renewed(path, text))

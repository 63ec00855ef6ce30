"""Names of what a user's Python file defines, `FILE.py:NAME`, alone and in lists."""

from pathlib import Path
from typing import NamedTuple


class Spec(NamedTuple):
    """A Python file and a name in it; the name is empty where only the file was given."""

    file: Path
    name: str


def parse(text: str) -> Spec | None:
    """`FILE.py:NAME` or `FILE.py` in its parts; None for any other text."""
    file, _, name = (text, "", "") if text.endswith(".py") else text.rpartition(":")
    return Spec(Path(file), name) if file.endswith(".py") else None


def same(one: str, other: str) -> bool:
    """Whether two texts name the same in files of one name, in whatever folders these lie."""
    a, b = parse(one), parse(other)
    return a is not None and b is not None and (a.file.name, a.name) == (b.file.name, b.name)


def split(text: str) -> tuple[str, ...]:
    """The names in a list separated by commas, which the path of an existing file may contain."""
    parts, names = text.split(","), list[str]()
    while parts:
        joined = (",".join(parts[:end]) for end in range(1, len(parts) + 1))
        name = next((one for one in joined if _is_in_a_file(one)), parts[0])
        names.append(name)
        del parts[: name.count(",") + 1]
    return tuple(names)


def _is_in_a_file(text: str) -> bool:
    spec = parse(text)
    return spec is not None and spec.name.isidentifier() and spec.file.is_file()

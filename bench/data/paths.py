"""The files and folders that names of data sets stand for."""

import os
from pathlib import Path

from bench.errors import CrossfireError


def path_of(name: str, beside: Path = Path()) -> Path | None:
    """The file or folder that an `npz:` or `folder:` name stands for; None for other names.

    A relative one stays so; `beside` is the folder that it is relative to.

    Raises:
        CrossfireError: the size after a folder is not a positive integer.
    """
    scheme, _, rest = name.partition(":")
    if rest and scheme == "npz":
        return expanded(rest)
    return folder_of(rest, beside)[0] if rest and scheme == "folder" else None


def folder_of(spec: str, beside: Path = Path()) -> tuple[Path, int | None]:
    """Folder and size of `DIR[@SIZE]`; a folder that is called `set@2024` goes before a size.

    Raises:
        CrossfireError: the size is not a positive integer.
    """
    whole = expanded(spec)
    if (beside / whole).is_dir():
        return whole, None
    name, size = sized(spec)
    return expanded(name), size


def expanded(text: str | Path) -> Path:
    """The path with the user's own folder for `~`, which shells leave in npz:~/FILE."""
    return Path(os.path.expanduser(text))


def sized(text: str) -> tuple[str, int | None]:
    """Split `NAME@SIZE` into name and size; the size may be left out, and a folder above may be
    called `me@home`.

    Raises:
        CrossfireError: the size is not a positive integer.
    """
    name, at, size = text.rpartition("@")
    if not at or "/" in size:
        return text, None
    if not size.isdecimal() or int(size) == 0:
        raise CrossfireError(f"'@{size}' is not a size in pixels; write for example {name}@224")
    return name, int(size)

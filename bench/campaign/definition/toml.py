"""TOML with line numbers: tables whose values are checked when they are read."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from bench.errors import CrossfireError, reason, unknown

_NAMES: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number"}
_HEADER = re.compile(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?")


@dataclass(frozen=True)
class Table:
    """A table of the file `path`: number `index` of those named `name`; `""` is the top level."""

    path: Path
    text: str
    values: dict[str, Any]
    name: str = ""
    index: int = 0

    def error(self, message: str, key: str | None = None) -> CrossfireError:
        """One line with the file and the line of `key`, or of the table's header."""
        return CrossfireError(f"{self.path}, line {self._line(key)}: {message}")

    def table(self, name: str) -> "Table":
        """The table [name]; an empty one if there is none.

        Raises:
            CrossfireError: the value of that name is not a table.
        """
        found = self.values.get(name, {})
        if not isinstance(found, dict):
            raise self.error(f"'{name}' must be a table; write [{name}]", name)
        return Table(self.path, self.text, found, name)

    def tables(self, name: str) -> list["Table"]:
        """All tables [[name]], in their order.

        Raises:
            CrossfireError: the value of that name is not a table.
        """
        found = self.values.get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.error(f"'{name}' must be a list of tables; write [[{name}]]", name)
        return [Table(self.path, self.text, one, name, i) for i, one in enumerate(found)]

    def get(self, key: str, hint: Any, default: Any = None) -> Any:  # noqa: ANN401
        """The value of `key`, of the type `hint`, or `default`.

        Raises:
            CrossfireError: it is of the wrong type.
        """
        return self.typed(key, self.values[key], hint) if key in self.values else default

    def typed(self, key: str, value: Any, hint: Any) -> Any:  # noqa: ANN401
        """`value` as the type `hint`; `key` names it in an error.

        Raises:
            CrossfireError: it is of the wrong type.
        """
        try:
            return typed(value, hint)
        except ValueError as error:
            raise self.error(f"{key} {error}", key) from None

    def check(self, known: Iterable[str], kind: str = "key") -> None:
        """Check that every key is known.

        Raises:
            CrossfireError: one is unknown; the message names the closest known key.
        """
        known = set(known)
        for key in self.values:
            if key not in known:
                raise self.error(str(unknown(kind, key, known)), key)

    def _line(self, key: str | None) -> int:
        header, current, count = 0, "", -1
        wanted = None if key is None else re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        for number, line in enumerate(self.text.splitlines(), start=1):
            if match := _HEADER.fullmatch(line.partition("#")[0].rstrip()):
                current = match[1]
                count += current == self.name
                if current == self.name and count == self.index:
                    header = number
            here = current == self.name and (not self.name or count == self.index)
            if wanted and here and wanted.match(line):
                return number
        return header or 1


def load(path: Path) -> Table:
    """The top-level table of a TOML file.

    Raises:
        CrossfireError: it can't be read, or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return Table(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at line (\d+).*\)|\(at end of document\)", str(error))
        line = (where and where[1]) or len(text.splitlines())
        what = str(error).partition(" (at ")[0]
        raise CrossfireError(f"{path}, line {line}: {what}; this is not TOML") from None
    except FileNotFoundError:
        raise CrossfireError(f"there is no file {path}; name a campaign's TOML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CrossfireError(f"cannot read {path} ({reason(error)})") from None


def typed(value: Any, hint: Any) -> Any:  # noqa: ANN401
    """A TOML value as the type that a dataclass's field names.

    Raises:
        ValueError: it is of the wrong type; the message continues a sentence that begins with the
            value's name.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in parts:
            raise ValueError(_among(value, parts))
        return value
    if origin in (Union, UnionType):
        (hint,) = (part for part in parts if part is not NoneType)
        return typed(value, hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"must be a list, not {_shown(value)}")
        return tuple(typed(one, parts[0]) for one in value)
    if hint is float and type(value) is int:
        return float(value)
    wanted = str if hint is Path else hint
    if type(value) is not wanted:
        raise ValueError(f"must be {_NAMES.get(wanted, 'a string')}, not {_shown(value)}")
    return hint(value)


def _among(value: Any, known: tuple[Any, ...]) -> str:  # noqa: ANN401
    message = str(unknown("value", str(value), map(str, known)))
    return f"has an {message}"


def _shown(value: Any) -> str:  # noqa: ANN401
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

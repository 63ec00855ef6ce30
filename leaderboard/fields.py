"""Dataclasses that check the types of their fields and can be read from JSON.

A `Part` accepts only values of the declared types, so that a record which exists is well-formed.
Readers and tests are compiled once for each type, because a board may hold ten thousand records.
"""

import dataclasses
import json
import re
import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Characters that no text of a record has, because they change lines or what a terminal shows."""

_MOST = 1e300
"""The largest number of a record."""

Hint = Any
"""What an annotation holds: a type, `X | None`, `tuple[X, ...]`, `dict`, a `Literal`."""


def visible(text: str) -> str:
    """The text with escapes in place of `CONTROL` characters, for what others wrote."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def from_text(text: str | bytes) -> Any:  # noqa: ANN401
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, or an object has a key twice, of which programs read either.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


class Part:
    """Base of a record's parts, frozen dataclasses; raises ValueError for a value it can't hold."""

    def __post_init__(self) -> None:
        """Check the type of every field, then the conditions of the subclass."""
        kind: Hint = type(self)
        for name, (hint, fits) in _tests(kind).items():
            value = getattr(self, name)
            if not fits(value):
                raise ValueError(f"{kind.__name__}.{name} must be {_name(hint)}, not {value!r}")
        self._check()

    def _check(self) -> None:
        """Check further conditions on the values, in a subclass."""


def read(kind: type[T], data: object) -> T:
    """The dataclass `kind` from parsed JSON.

    Raises:
        ValueError: a field is unknown, missing or of another type; or a value is refused.
    """
    hint: Hint = kind
    result: T = _reader(hint)(data)
    return result


@cache
def _tests(kind: Hint) -> dict[str, tuple[Hint, Callable[[Any], bool]]]:
    return {name: (hint, _test(hint)) for name, hint in get_type_hints(kind).items()}


@cache
def _test(hint: Hint) -> Callable[[Any], bool]:
    origin: Hint = get_origin(hint)
    arguments = get_args(hint)
    if origin is types.UnionType:
        optional = _test(next(a for a in arguments if a is not types.NoneType))
        return lambda value: value is None or optional(value)
    if origin is tuple:
        inner = _test(arguments[0])
        return lambda value: isinstance(value, tuple) and all(map(inner, value))
    if origin is Literal:
        return lambda value: value in arguments
    if hint is float:
        return is_number
    if hint is int:
        return lambda value: type(value) is int and is_number(value)
    if hint is str:
        return lambda value: isinstance(value, str) and (value.isprintable() or _is_plain(value))
    kind = origin or hint
    if kind is dict:
        return lambda value: isinstance(value, dict) and _is_plain_dict(value)
    return lambda value: isinstance(value, kind)


def is_number(value: object) -> bool:
    """Whether a value is a finite number that a float can hold."""
    return type(value) in (int, float) and -_MOST <= value <= _MOST  # type: ignore[operator]


def _is_plain(text: str) -> bool:
    return not CONTROL.search(text)


def _is_plain_dict(data: dict[str, Any]) -> bool:
    # What is not printable has a backslash in `repr`, which is faster than a look at every text.
    return "\\" not in repr(data) or all(map(_is_plain, _texts(data)))


def _texts(value: object) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


@cache
def _reader(hint: Hint) -> Callable[[Any], Any]:
    origin: Hint = get_origin(hint)
    arguments = get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _dataclass_reader(hint)
    if origin is types.UnionType:
        inner = _reader(next(a for a in arguments if a is not types.NoneType))
        return inner if inner is _identity else lambda data: data and inner(data)
    if origin is tuple:
        inner = _reader(arguments[0])
        return lambda data: tuple(map(inner, data)) if isinstance(data, list) else data
    return _identity


def _identity(data: object) -> object:
    return data


def _dataclass_reader(kind: Hint) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    nested = {name: _reader(hint) for name, hint in hints.items() if _reader(hint) is not _identity}

    def build(data: object) -> object:
        if not isinstance(data, dict):
            raise ValueError(f"{kind.__name__} must be an object, not {data!r}")
        if hints.keys() != data.keys():
            differing = ", ".join(sorted(hints.keys() ^ data.keys()))
            raise ValueError(f"{kind.__name__} has missing or unknown fields: {differing}")
        return kind(**data | {name: reader(data[name]) for name, reader in nested.items()})

    return build


def _name(hint: Hint) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)

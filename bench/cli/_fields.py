"""Command-line options from the fields of a dataclass: name, type, default and help."""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from bench.errors import CrossfireError


def options(kind: type) -> list[click.Option]:
    """An option for each field that carries a help text."""
    hints = get_type_hints(kind)
    return [_option(item, hints[item.name]) for item in fields(kind) if "help" in item.metadata]


def _option(item: Field[Any], hint: Any) -> click.Option:  # noqa: ANN401
    flag = item.name.replace("_", "-")
    switch = _type(hint) is None
    names = [item.name, f"--{flag}/--no-{flag}" if switch else f"--{flag}"]
    # Without a default the option is required.
    value = item.default if item.default_factory is MISSING else item.default_factory()
    default = {} if value is MISSING else {"default": value}
    shown = value not in (None, (), "")
    return click.Option(
        names, type=_type(hint), help=item.metadata["help"], show_default=shown, **default
    )


def _type(hint: Any) -> Any:  # noqa: ANN401
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        parts = [part for part in get_args(hint) if part is not NoneType]
        if len(parts) > 1:
            raise CrossfireError(f"an option can't be of type {hint}; give its field one type")
        return _type(parts[0])
    if get_origin(hint) is tuple:
        return CommaSeparated(get_args(hint)[0])
    return None if hint is bool else hint


class CommaSeparated(click.ParamType):  # type: ignore[type-arg]
    """Values separated by commas."""

    name = "list"

    def __init__(self, kind: Callable[[str], Any]) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """`100,150` -> (100.0, 150.0) for numbers."""
        if not isinstance(value, str):
            return value
        try:
            return tuple(self.kind(part) for part in value.split(",") if part)
        except ValueError:
            self.fail(f"'{value}' is not a list such as 100,150", param, ctx)

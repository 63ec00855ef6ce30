"""What options may be: one of the field's choices, or numbers from 0 upwards unless its metadata
say otherwise."""

import math
from dataclasses import Field, fields
from typing import Any, Literal, get_args, get_origin

from bench.errors import CrossfireError, unknown
from bench.threats import Threat


def check_threats(threats: object) -> None:
    """Check that threats are a tuple or a list of them.

    Raises:
        CrossfireError: they are not; the message says what to give.
    """
    if not isinstance(threats, tuple | list) or not all(isinstance(t, Threat) for t in threats):
        raise CrossfireError(
            f"threats are {threats!r}; give a tuple such as (Threat.parse('linf:8/255'),)"
        )


def check_ranges(options: Any) -> None:  # noqa: ANN401
    """Check a dataclass's options: each is one of the choices of its field; numbers are finite and
    lie from `least` (default 0, or the field's own default if that is less) to `most` in the
    metadata of the field; and what is only for some `variants` there is not set in others.

    Raises:
        CrossfireError: one does not; the message names its option.
    """
    for item in fields(options):
        value = getattr(options, item.name)
        if "help" in item.metadata and get_origin(item.type) is Literal:
            _check_choice(item, value)
        for number in value if isinstance(value, tuple) else (value,):
            known = isinstance(number, int | float) and not isinstance(number, bool)
            if "help" in item.metadata and known:
                _check(item, number)
        variants = item.metadata.get("variants")
        if variants and value != item.default and options.variant not in variants:
            raise _unread(item, f"variant {' or '.join(variants)}", "variant")


def check_used(options: Any, *, several: bool) -> None:  # noqa: ANN401
    """Check that no option of a defense is set that is not read: `threats` in the metadata of its
    field says whether it is under `one` threat or under `several`.

    Raises:
        CrossfireError: one is; the message names it.
    """
    present = "several" if several else "one"
    for item in fields(options):
        if getattr(options, item.name) == item.default:
            continue
        needed = item.metadata.get("threats", present)
        if needed != present:
            raise _unread(item, f"{needed} threat{'s' if needed == 'several' else ''}", "threat")


def _unread(item: Field[Any], where: str, flag: str) -> CrossfireError:
    return CrossfireError(
        f"{item.name.replace('_', '-')} is for {where}; leave it out, and recipes that set it, or "
        f"choose {where} with --{flag}"
    )


def _check_choice(item: Field[Any], value: object) -> None:
    if value not in get_args(item.type):
        raise unknown(item.name.replace("_", "-"), str(value), get_args(item.type))


def _check(item: Field[Any], number: int | float) -> None:
    name = item.name.replace("_", "-")
    default = item.default if isinstance(item.default, int | float) else 0
    least, most = item.metadata.get("least", min(0, default)), item.metadata.get("most", math.inf)
    if not math.isfinite(number):
        raise CrossfireError(f"{name} must be a finite number")
    if not least <= number <= most:
        bounds = f"{least} or more" if most == math.inf else f"from {least} to {most}"
        raise CrossfireError(f"{name} must be {bounds}")

"""Every setting of a suite's stages as plain values, for the protocol and its hash."""

import inspect
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from bench.attacks.base import Attack
from bench.attacks.external import ExternalAttack
from bench.errors import CrossfireError
from bench.evaluation.suites import Stage
from bench.files import sha256_bytes
from bench.models.checkpoint import weights_sha256
from bench.plugins.source import bare_code

CODE = "code"
"""In the settings of an attack from elsewhere: the hash of its code."""


def describe(stages: tuple[Stage, ...]) -> list[dict[str, Any]]:
    """Every setting of every stage as JSON values, for the protocol and its hash.

    Raises:
        CrossfireError: a setting of an attack is no such value.
    """
    return [_plain(vars(stage)) | {"attack": _described(stage.attack)} for stage in stages]


def _described(attack: Attack | ExternalAttack) -> dict[str, Any]:
    """Settings and name; of an attack from elsewhere also the hash of its code, because settings
    may be constants there."""
    made = attack.run if isinstance(attack, ExternalAttack) else type(attack)
    made = made.func if isinstance(made, partial) else made
    try:
        described = {"name": attack.name} | _plain(vars(attack))
        if not made.__module__.startswith("bench."):
            code = json.dumps(_code(made, attack.name), sort_keys=True)
            described |= {CODE: sha256_bytes(code.encode()), "captured": _captured(made)}
        json.dumps(described)
    except TypeError as error:
        raise CrossfireError(
            f"the settings of attack '{attack.name}' cannot be recorded ({error}); use numbers, "
            "texts and functions"
        ) from None
    return described


def _code(made: Any, name: str) -> dict[str, str]:  # noqa: ANN401
    """The code of the file of a function or class; of one in a notebook its own alone."""
    file = getattr(sys.modules.get(made.__module__), "__file__", None)
    if file is not None:
        return bare_code(Path(file))
    try:
        return {"": inspect.getsource(made)}
    except (OSError, TypeError):
        raise CrossfireError(
            f"the code of attack '{name}' is in no file, and belongs to the protocol; "
            "put it in a Python file"
        ) from None


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in settings.items()}


def _value(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, partial):
        given = {str(place): argument for place, argument in enumerate(value.args)}
        return {"function": _value(value.func)} | _plain(given | value.keywords)
    if isinstance(value, nn.Module):
        return weights_sha256(value)
    return getattr(value, "__name__", value)


def _captured(function: Any) -> dict[str, Any]:  # noqa: ANN401
    """What a method knows of its object, and a function of the one that made it."""
    if inspect.ismethod(function):
        return _plain(vars(function.__self__))
    if inspect.isfunction(function):
        return _plain(dict(inspect.getclosurevars(function).nonlocals))
    return {}

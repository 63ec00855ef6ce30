"""Networks to train, and networks whose code is in a user's file."""

import copy
import re
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from bench.data import Dataset
from bench.errors import CrossfireError, reason
from bench.models import EXTRA, build
from bench.models.checkpoint import state
from bench.models.libraries import call
from bench.models.sources.fit import check_fit
from bench.plugins import specs
from bench.plugins.registry import load_file
from bench.plugins.source import code_sha256


def untrained(arch: str, data: Dataset) -> nn.Module:
    """A fresh network for `data`, of any architecture of `network_of`, in train mode.

    One that is not ours takes images in [0, 1] as they are, in training as in an evaluation.

    Raises:
        CrossfireError: it can't be built, doesn't fit the data, or has no weights to train or a
            state that no checkpoint holds.
    """
    model = network_of(arch, data)
    if ":" not in arch:
        return model
    if specs.parse(arch) and not _is_new(model, network_of(arch, data)):
        raise CrossfireError(f"{arch} returns the same module each time; build it in the function")
    check_fit(arch, model.eval(), data)
    check_fit(arch, copy.deepcopy(model).train(), data)  # outputs of some depend on the mode
    state(model)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise CrossfireError(f"{arch} has no weights to train; give it parameters")
    return model.train()


def _is_new(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks share no weights: another one, or another run, would train them too."""
    return not {id(weight) for weight in one.parameters()} & {id(w) for w in other.parameters()}


def network_of(arch: str, data: Dataset) -> nn.Module:
    """The network of an architecture of `bench.models.build`, or of FILE.py:CALLABLE.

    Raises:
        CrossfireError: it can't be built.
    """
    allow(arch)
    return build(arch, classes=data.classes, channels=data.channels, size=data.size)


def own_code(arch: str) -> dict[str, str]:
    """The hash of the code of FILE.py:CALLABLE, under this name; nothing for other architectures.

    Raises:
        CrossfireError: the file can't be read.
    """
    spec = specs.parse(arch)
    try:
        return {arch: code_sha256(*spec)} if spec else {}
    except (OSError, SyntaxError, ValueError) as error:
        raise CrossfireError(f"the code of {arch} can't be read ({reason(error)})") from None


def allow(arch: str, called: str | None = None) -> None:
    """Let this process build the networks of FILE.py, which its user has named by FILE.py:CALLABLE,
    so that checkpoints of them can be loaded too, by the path that they have for it (`called`);
    other architectures need no permission."""
    spec, named = specs.parse(arch), specs.parse(called or arch)
    if spec and named:
        EXTRA[rf"{re.escape(str(named.file))}:?(?P<name>.*)"] = partial(_own_network, spec.file)


def _own_network(
    file: Path, found: dict[str, str], classes: int, channels: int, size: tuple[int, int]
) -> nn.Module:
    name = found["name"]
    if not name:
        raise CrossfireError(
            f"write {file}:FUNCTION, the function in this file that returns the model"
        )
    make = getattr(load_file(file), name, None)
    if not callable(make):
        raise CrossfireError(f"{file} defines no '{name}' to call; name one of its functions")
    model = call(f"{file}:{name}", make).cpu().eval()
    if any(map(is_lazy, model.parameters())):
        with suppress(Exception), torch.no_grad():  # what fails here fails in `check_fit` too
            model(torch.zeros(2, channels, *size))
    return model

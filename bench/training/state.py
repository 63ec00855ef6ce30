"""The state file of a run: what goes on after a kill, and whose run it is."""

import io
import json
import pickle
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from bench.errors import CrossfireError
from bench.files import write_atomic
from bench.models import checkpoint


@runtime_checkable  # the tests check argument types as they run
class Stateful(Protocol):
    """Whatever can be written down and restored: a network, an optimiser, a running count."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any], /) -> Any:  # noqa: ANN401
        """Take up what `state_dict` gave."""


def write(path: Path, config: dict[str, Any], state: dict[str, Any]) -> None:
    """Replace the state file in one step."""
    buffer = io.BytesIO()
    torch.save({"config": json.dumps(config), **state}, buffer)
    write_atomic(path, buffer.getvalue())


def read(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """What `write` wrote, for the same `config`.

    Raises:
        CrossfireError: the file is damaged, or belongs to a run with other options.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CrossfireError(f"{path} is damaged ({error}); train anew with --no-resume") from None
    check_same(path.parent, json.loads(state.pop("config")), config)
    return state


def is_finished(folder: Path, config: dict[str, Any]) -> bool:
    """Whether `folder` holds the checkpoints of a run that came to its end.

    Raises:
        CrossfireError: it is a run with other options, or one that can't go on.
    """
    path = folder / "last.safetensors"
    if not path.exists():
        return False
    _, metadata = checkpoint.load(path)
    check_same(folder, metadata.config, config)
    if metadata.epoch < metadata.epochs:
        raise CrossfireError(f"{folder} has lost its state.pt; train anew with --no-resume")
    return True


def check_same(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare the options of two runs.

    Raises:
        CrossfireError: they differ; the message names the first difference.
    """
    found, wanted = _flat(found), _flat(wanted)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise CrossfireError(
                f"{folder} holds a run with {name} {found.get(name)}, not {wanted.get(name)}; "
                "choose another folder with --out, or train anew with --no-resume"
            )


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(config))
    training: dict[str, Any] = plain.pop("training", {})
    return plain | training

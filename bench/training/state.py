"""The state file of a run, from which it is resumed after a kill."""

import io
import json
import pickle
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from bench.errors import CrossfireError
from bench.files import write_atomic
from bench.models import checkpoint
from leaderboard.options import current

AGAIN = "train again with --no-resume (resume=False)"
"""What errors about the files of a run advise."""


@runtime_checkable  # the tests check argument types as they run
class Stateful(Protocol):
    """An object whose state can be saved and restored: a network, an optimiser, a counter."""

    def state_dict(self) -> dict[str, Any]:
        """The state as tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any], /) -> Any:  # noqa: ANN401
        """Restore what `state_dict` returned."""


def write(path: Path, config: dict[str, Any], arithmetic: str, state: dict[str, Any]) -> None:
    """Replace the state file atomically."""
    buffer = io.BytesIO()
    torch.save({"config": json.dumps(config), "arithmetic": arithmetic, **state}, buffer)
    write_atomic(path, buffer.getvalue())


def read(path: Path, defense: str, config: dict[str, Any], arithmetic: str) -> dict[str, Any]:
    """The state that `write` saved, for the same `config` of the same `defense`.

    Raises:
        CrossfireError: the file is damaged, or belongs to a run with other options or, where these
            leave it open, in another arithmetic.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CrossfireError(f"{path} is damaged ({error}); {AGAIN}") from None
    check_same(path.parent, current(defense, json.loads(state.pop("config"))), config)
    begun = state.pop("arithmetic", arithmetic)  # version 0.1.0 saved none
    if begun != arithmetic:
        raise CrossfireError(
            f"{path.parent} holds a run that began in {begun}, and --precision auto is "
            f"{arithmetic} here; resume it on a machine as before, or train again with --no-resume"
        )
    return state


def is_finished(folder: Path, config: dict[str, Any]) -> bool:
    """Whether `folder` holds the checkpoints of a complete run.

    Raises:
        CrossfireError: it is a run with other options, or one that can't be resumed.
    """
    path = folder / "last.safetensors"
    if not path.exists():
        return False
    metadata = checkpoint.metadata_of(path)
    check_same(folder, current(metadata.defense, metadata.config), config)
    if metadata.epoch < metadata.epochs:
        raise CrossfireError(f"{folder} lacks its state.pt; {AGAIN}")
    return True


def check_same(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare the options of two runs. The hashes of examples are compared where both have them:
    runs of version 0.1.0 do not.

    Raises:
        CrossfireError: they differ; the message names the first difference.
    """
    if "data_sha256" not in found.get("training", {}):
        training = {k: v for k, v in wanted["training"].items() if k != "data_sha256"}
        wanted = wanted | {"training": training}
    found, wanted = _flat(found), _flat(wanted)
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise CrossfireError(
                f"{folder} holds a run with {name} {found.get(name)}, not {wanted.get(name)}; "
                f"choose another folder with --out, or {AGAIN}"
            )


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(config))
    training: dict[str, Any] = plain.pop("training", {})
    for kind, text in (
        ("code", "code of {}"),
        ("teachers", "weights of the {}"),
        ("data_sha256", f"{{}} images of {training.get('dataset')}"),
    ):
        hashes: dict[str, str] = training.pop(kind, {})
        plain |= {text.format(name): f"{sha:.8}" for name, sha in hashes.items()}
    return plain | training

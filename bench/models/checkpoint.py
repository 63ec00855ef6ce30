"""Checkpoints: weights in safetensors, with the metadata in the same file.

The file is replaced atomically, so weights and metadata are consistent after a kill. The JSON file
beside it is a copy for users and other programs; it is not read here.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeGuard

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from bench.errors import CrossfireError
from bench.files import write_atomic
from bench.models import ArchitectureError, build
from bench.plugins import specs

Tag = Literal["best", "last"]
HEADER = "crossfire"


@dataclass(frozen=True)
class Metadata:
    """The origin and the cost of a checkpoint's weights."""

    defense: str
    config: dict[str, Any]
    dataset: str
    data_sha256: str
    arch: str
    classes: int
    channels: int
    size: tuple[int, int]
    threats: tuple[str, ...]
    epoch: int
    epochs: int
    selected_on: str
    seed: int
    forward_passes: int
    backward_passes: int
    seconds: float
    versions: dict[str, str]
    commit: str | None
    heldout: dict[str, float] = field(default_factory=dict)
    """Accuracies in [0, 1] on the held-out split, such as `clean` and `linf:8/255`."""

    @classmethod
    def from_json(cls, text: str) -> "Metadata":
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is missing or unknown, or the options are no objects.
        """
        plain = json.loads(text)
        names = {item.name for item in fields(cls)}
        if not isinstance(plain, dict) or plain.keys() - names or names - plain.keys():
            raise ValueError("its metadata has other fields")
        training = plain["config"].get("training", {}) if _is_object(plain["config"]) else None
        if not (_is_object(training) and _is_object(training.get("code", {}))):
            raise ValueError("the options in its metadata are no JSON objects")
        plain["size"], plain["threats"] = tuple(plain["size"]), tuple(plain["threats"])
        return cls(**plain)

    def to_json(self) -> str:
        """All fields as a JSON object."""
        return json.dumps(asdict(self), indent=1)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def save(folder: Path, tag: Tag, model: nn.Module, metadata: Metadata) -> Path:
    """Write `tag`.safetensors and the readable `tag`.json into `folder`; return the first.

    Raises:
        CrossfireError: the folder can't be written; a former checkpoint is not damaged.
    """
    text = metadata.to_json()
    path = folder / f"{tag}.safetensors"
    # Cloned, because safetensors refuses a weight that has two names.
    tensors = {name: tensor.clone() for name, tensor in _plain(model).items()}
    write_atomic(path, to_safetensors(tensors, {HEADER: text}))
    write_atomic(folder / f"{tag}.json", text.encode())
    return path


def load(path: Path | str) -> tuple[nn.Module, Metadata]:
    """The model in eval mode and the metadata, from a file or from a folder's `best`.

    Raises:
        ArchitectureError: it names a network that can't be built, or a user's code, which runs only
            where the user has named it.
        CrossfireError: the file is missing or damaged, holds no metadata, or other weights than
            those of the architecture that it names; or a weight is not finite.
    """
    path = file_of(Path(path))
    tensors, text = read(path)
    metadata = _parsed(path, text)
    model = _built(path, metadata)
    fill(model, tensors, f"{path} ({metadata.arch})")
    return model.eval(), metadata


def metadata_of(path: Path) -> Metadata:
    """The metadata of a file, or of a folder's `best`.

    Raises:
        CrossfireError: the file is missing or damaged, or holds none.
    """
    path = file_of(path)
    return _parsed(path, read(path)[1])


def recorded(path: Path) -> Metadata | None:
    """The metadata of a file, or of a folder's `best`; None unless it is a checkpoint of ours."""
    path = file_of(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    _, text = read(path)
    try:
        return Metadata.from_json(text) if text else None
    except (ValueError, TypeError):
        return None


def _parsed(path: Path, text: str | None) -> Metadata:
    if text is None:
        raise CrossfireError(f"{path} does not name its architecture; give one with --arch")
    try:
        return Metadata.from_json(text)
    except (ValueError, TypeError) as error:
        raise CrossfireError(f"{path} was written by another version: {error}") from None


def _built(path: Path, metadata: Metadata) -> nn.Module:
    arch = metadata.arch
    shape = {"classes": metadata.classes, "channels": metadata.channels, "size": metadata.size}
    try:
        return build(arch, **shape)  # type: ignore[arg-type]
    except ArchitectureError as error:
        code = (
            f"it is a {arch}, and no checkpoint runs code by itself; add --arch {arch}, or name "
            "a teacher by FILE.py:FUNCTION, which returns it with its weights"
        )
        raise ArchitectureError(f"{path}: {code if specs.parse(arch) else error}") from None


def file_of(path: Path) -> Path:
    """The file of a checkpoint: the path itself, or a folder's `best`."""
    return path / "best.safetensors" if path.is_dir() else path


def read(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a safetensors file, and the metadata if it is a checkpoint of ours.

    Raises:
        CrossfireError: the file is missing or damaged.
    """
    if not path.is_file():
        raise CrossfireError(f"there is no checkpoint {path}; train one with: bench train")
    try:
        with safe_open(path, framework="pt") as file:
            names, header = file.keys(), file.metadata() or {}
            return {name: file.get_tensor(name) for name in names}, header.get(HEADER)
    except (SafetensorError, OSError) as error:
        raise CrossfireError(f"{path} is not a complete safetensors file ({error})") from None


def fill(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Put `tensors` into `model`; `name` names them in an error.

    Raises:
        CrossfireError: a name or a shape differs, or a value is not finite.
    """
    expected = {key: value.shape for key, value in state(model).items()}
    missing, unknown = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or unknown:
        first = f"no '{min(missing)}'" if missing else f"an unknown '{min(unknown)}'"
        raise CrossfireError(f"{name}: the weights are of another architecture; there is {first}")
    for key, tensor in tensors.items():
        if tensor.shape != expected[key]:
            raise CrossfireError(
                f"{name}: '{key}' has shape {tuple(tensor.shape)} in place of "
                f"{tuple(expected[key])}; check the architecture and the number of classes"
            )
        if not tensor.isfinite().all():
            raise CrossfireError(f"{name}: '{key}' holds NaN or infinity; train it again")
    model.load_state_dict(tensors)


def weights_sha256(model: nn.Module) -> str:
    """The hash, in hexadecimal, of all parameters and buffers: names, types, shapes and bytes.

    Raises:
        CrossfireError: the state of the model is not tensors alone.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(_plain(model).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(model: nn.Module) -> dict[str, Tensor]:
    # Safetensors stores rows in order; channels_last weights are the same numbers in another order.
    return {k: v.detach().cpu().contiguous() for k, v in state(model).items()}


def state(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers of a model by name.

    Raises:
        CrossfireError: the state of the model is not tensors alone.
    """
    found: dict[str, Tensor] = model.state_dict()
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise CrossfireError(
                f"'{name}' of the model is a {type(value).__name__}, not a tensor; give a model "
                "that is not quantised and has no get_extra_state"
            )
    return found

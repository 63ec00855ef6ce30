"""Published weights: read without executing code, and renamed to the names of a model."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import CrossfireError, reason
from bench.models import checkpoint

NESTS = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which training scripts store the weights, beside epoch and optimiser."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "1.")
"""Prefixes that DataParallel, torch.compile and wrappers add to every name of the network."""
MOMENT = re.compile(r"(?:normalize\.|0\.)?(?:(?P<mean>mean|mu)|(?P<std>std|sigma))")
"""Names of the normalisation in wrappers, and in nn.Sequential(normalisation, network)."""
UNUSED = ("sub_block1.", "n_averaged")
"""Layers that TRADES's WRN-34-10 stores and never uses, and PyTorch's count of averaged weights."""


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of what torch.save wrote, without running its pickle.

    Raises:
        CrossfireError: the file is missing or damaged, or holds more than tensors.
    """
    if path.suffix == ".safetensors":
        return checkpoint.read(path)[0]
    if not path.is_file():
        raise CrossfireError(f"there is no file {path}; name one that holds weights")
    check_saved(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CrossfireError(
            f"{path} holds more than tensors, and loading it could run any code; "
            "if you trust it, save its state_dict as safetensors"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        why = f"is not a complete file of weights ({reason(error)})"
        if "TorchScript" in str(error):
            why = "is a TorchScript program; load it with torch.jit.load in FILE.py:FUNCTION"
        raise CrossfireError(f"{path} {why}") from None
    return _tensors(path, found)


def check_saved(path: Path) -> None:
    """Check that a file is an archive or a pickle, as torch.save writes them.

    Raises:
        CrossfireError: it is another file, such as a page of HTML that was downloaded in its place.
    """
    with path.open("rb") as stream:
        start = stream.read(16)
    if start and not start.startswith((b"PK", b"\x80")):
        raise CrossfireError(
            f"{path} is not a file of weights; it starts with {str(start)[1:]}; download it again"
        )


def load_into(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Load published weights into `model`; `name` names them in an error.

    Prefixes of wrappers are removed; `mu` and `sigma`, or `mean` and `std` of a wrapper, become the
    normalisation.

    Raises:
        CrossfireError: a name or a shape differs, or a value is not finite.
    """
    expected = model.state_dict()
    named = _unprefixed(tensors, expected)
    used = {k: v for k, v in named.items() if k in expected or not k.startswith(UNUSED)}
    found = dict(_normalising(name, tensor, expected) for name, tensor in used.items())
    # Many checkpoints are older than the counters of batch normalisation, which have no effect.
    optional = ("num_batches_tracked", "normalize.mean", "normalize.std")
    kept = {k: v for k, v in expected.items() if k.endswith(optional)}
    checkpoint.fill(model, kept | found, name)


def _tensors(path: Path, found: Any) -> dict[str, Tensor]:  # noqa: ANN401
    while isinstance(found, Mapping):
        if found and all(isinstance(value, Tensor) for value in found.values()):
            return dict(found)
        nest = next((key for key in NESTS if isinstance(found.get(key), Mapping)), None)
        if nest is None:
            break
        found = found[nest]
    raise CrossfireError(f"{path} holds no weights by name; save model.state_dict()")


def _unprefixed(tensors: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES * 2:
        network = {key for key in tensors if not (MOMENT.fullmatch(key) or key.startswith(UNUSED))}
        if all(key.startswith(prefix) for key in network) and not network & expected.keys():
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _normalising(name: str, tensor: Tensor, expected: Mapping[str, Tensor]) -> tuple[str, Tensor]:
    """Name and value of our normalisation for a wrapper's, which may be one number for all
    channels; other tensors, such as a network's own `mean`, as they are."""
    match = MOMENT.fullmatch(name)
    ours = f"normalize.{match.lastgroup}" if match else ""
    if ours not in expected or (name != ours and name in expected):
        return name, tensor
    size = expected[ours].numel()
    if tensor.numel() in (1, size):
        tensor = tensor.reshape(-1).expand(size).reshape(expected[ours].shape)
    return ours, tensor

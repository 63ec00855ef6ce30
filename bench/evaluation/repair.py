"""A model whose gradients mislead, repaired for those who ask for gradients: values stay, slopes
become useful.

What hides a gradient is undone where it can be: rounding passes slopes on, probabilities become
logits, float64 keeps what saturation leaves, and a mean over a neighbourhood takes ripples away. A
repaired model only proposes; verdicts come from the model as it was given.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.threats.geometry import Batch
from bench.types import Model

STEPPED: frozenset[Callable[..., Any]] = frozenset(
    function
    for owner in (torch, Tensor)
    for name in ("floor", "ceil", "round", "trunc", "sign", "sgn", "heaviside")
    if (function := getattr(owner, name, None)) is not None
)
"""Functions whose derivative is zero wherever it exists."""
LEAST = 1e-300
"""Smaller probabilities count as this one."""


class StraightThrough(TorchFunctionMode):
    """Stepped functions keep their values, and pass gradients as the identity does (the
    straight-through estimator; as an attack, BPDA: Athalye et al. 2018, arXiv:1802.00420, sec.
    4.1)."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call `func`, and mend its slope."""
        value = func(*args, **(kwargs or {}))
        if func in STEPPED and isinstance(value, Tensor) and value.is_floating_point():
            return args[0] + (value - args[0]).detach()
        return value


def repaired(model: nn.Module, *, probabilities: bool) -> Model:
    """The model in float64 with straight-through steps; with `probabilities`, the logarithms of
    what it gives."""
    exact = copy.deepcopy(model).double().requires_grad_(False)

    def logits(points: Batch) -> Float[Tensor, "n k"]:
        with StraightThrough():
            outputs: Tensor = exact(points)
        return outputs.clamp_min(LEAST).log() if probabilities else outputs

    return logits

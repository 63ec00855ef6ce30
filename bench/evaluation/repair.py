"""Repairs a model whose gradients are unreliable: its outputs stay, its gradients become useful.

Common causes of gradient masking are removed: rounding passes gradients on (BPDA), probabilities
become logits, and float64 resolves the small gradients of saturated outputs; averaging over a
neighbourhood (`Proposer.blur`) smooths ripples. A repaired model is only used by attacks; verdicts
come from the original model.
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
"""Piecewise constant functions: their derivative is zero wherever it exists."""
LEAST = 1e-300
"""Smaller probabilities are replaced by this one."""


class StraightThrough(TorchFunctionMode):
    """Stepped functions keep their values and pass gradients on as the identity does (the
    straight-through estimator; as an attack, BPDA: Athalye et al. 2018, arXiv:1802.00420, sec.
    4.1)."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call `func`, and replace its derivative if it is a stepped function."""
        value = func(*args, **(kwargs or {}))
        if func in STEPPED and isinstance(value, Tensor) and value.is_floating_point():
            return args[0] + (value - args[0]).detach()
        return value


def repaired(model: nn.Module, *, probabilities: bool) -> Model:
    """The model in float64 with straight-through steps; with `probabilities`, the logarithms of its
    outputs."""
    exact = copy.deepcopy(model).double().requires_grad_(False)

    def logits(points: Batch) -> Float[Tensor, "n k"]:
        with StraightThrough():
            outputs: Tensor = exact(points)
        return outputs.clamp_min(LEAST).log() if probabilities else outputs

    return logits

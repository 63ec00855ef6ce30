"""Repairs a model whose gradients are unreliable: its outputs stay, its gradients become useful.

Common causes of gradient masking are removed: rounding passes gradients on (BPDA), probabilities
become logits, and where float32 loses the small gradients of saturated outputs float64 resolves
them; averaging over a neighbourhood (`Proposer.blur`) smooths ripples. A model that clamps its
images is queried where the clamp has a gradient. A repaired model is only used by attacks; verdicts
come from the original model.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.losses import input_gradient
from bench.threats.geometry import Points
from bench.types import Model

STEPPED: frozenset[Callable[..., Any]] = frozenset(
    function
    for owner in (torch, Tensor)
    for name in ("floor", "ceil", "round", "trunc", "sign", "sgn", "heaviside")
    if (function := getattr(owner, name, None)) is not None
)
"""Piecewise constant functions: their derivative is zero wherever it exists."""
CLAMPS: frozenset[Callable[..., Any]] = frozenset(
    function
    for owner in (torch, Tensor, nn.functional)
    for name in ("clamp", "clamp_min", "clamp_max", "clip", "hardtanh")
    if (function := getattr(owner, name, None)) is not None
)
"""Functions whose derivative is zero outside an interval."""
LEAST = {torch.float32: 1e-38, torch.float64: 1e-300}
"""Smaller probabilities are replaced by this one."""
AGREEMENT = 0.99
"""Gradients whose cosine is larger have the same direction."""


INSET = {torch.bfloat16: 2**-8}
"""The least distance from 0 and 1 at which `Inset` queries a model, by data type; in others it is
1e-5, which bf16 can't tell from the bound."""


class Inset(nn.Module):
    """A model queried at the nearest points slightly inside [0, 1]: at 0 and 1 themselves the
    derivative of a clamp is zero, and that of a root infinite."""

    def __init__(self, inner: Model) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, points: Points) -> Float[Tensor, "n k"]:
        """Logits near points (n, c, h, w), with the gradient there."""
        least = INSET.get(points.dtype, 1e-5)
        inside = points.detach().clamp(least, 1 - least)
        return self.inner(points + (inside - points.detach()))


class StraightThrough(TorchFunctionMode):
    """Stepped functions keep their values and pass gradients on as the identity does (the
    straight-through estimator; as an attack, BPDA: Athalye et al. 2018, arXiv:1802.00420, sec.
    4.1), and so do clamps of tensors of the images' shape (n, c, h, w); those of other shapes may
    be rectifiers."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape = shape

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call `func`, and replace its derivative if that is zero where it should not be."""
        kwargs = kwargs or {}
        value = func(*args, **kwargs)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        if func in STEPPED or (func in CLAMPS and value.shape == self.shape):
            given: Tensor = args[0] if args else kwargs["input"]
            return given + (value - given).detach()
        return value


def repaired(model: nn.Module, sample: Points, *, probabilities: bool) -> tuple[Model, torch.dtype]:
    """The model with straight-through steps, and the data type of its images; with
    `probabilities`, its outputs are their logarithms.

    That is float64 if the gradient of the spread of the logits at some image of the sample
    (n, c, h, w) has another direction in float32, and if the model runs in float64.
    """
    single = straight_through(_copied(model), torch.float32, probabilities)
    try:
        double = straight_through(copy.deepcopy(model).double(), torch.float64, probabilities)
        in_single, in_double = _slopes(single, sample), _slopes(double, sample.double())
    except Exception:  # it has parts that can't be copied, or that are float32 for ever
        return single, torch.float32
    agree = torch.cosine_similarity(in_single, in_double) > AGREEMENT
    return (single, torch.float32) if bool(agree.all()) else (double, torch.float64)


def _copied(model: nn.Module) -> nn.Module:
    """A copy with frozen weights, or the model itself if that fails."""
    try:
        copied = copy.deepcopy(model)
        freeze(copied)
    except Exception:  # copying may raise any error
        return model
    return copied


def freeze(model: nn.Module) -> None:
    """Let no weight need a gradient; unlike `requires_grad_` this also takes TorchScript models."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def straight_through(
    model: nn.Module, dtype: torch.dtype = torch.float32, probabilities: bool = False
) -> Model:
    """The model in `dtype` under `StraightThrough`; its outputs as logits if they are
    `probabilities`."""
    least = LEAST[dtype]

    def logits(points: Points) -> Float[Tensor, "n k"]:
        with StraightThrough(points.shape):
            outputs: Tensor = model(points)
        return outputs.clamp_min(least).log() if probabilities else outputs

    return logits


def _slopes(model: Model, images: Points) -> Float[Tensor, "n d"]:
    """Gradients of the largest logit minus the smallest, in float64."""

    def spread(points: Points) -> Float[Tensor, " n"]:
        logits = model(points)
        return logits.amax(1) - logits.amin(1)

    return input_gradient(spread, images).flatten(1).double()

"""Compiled networks, for speed only.

There are two compiled forms: a differentiable one, and a faster one for inference, in whose code
the weights are constants. Both accept every batch size.
"""

import copy
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Form = Callable[[Tensor], Tensor]


@dataclass
class Compiling:
    """Runs `eager` in eval mode until a form has taken `patience` seconds; compiled from then on.

    If the network can't be compiled, `eager` is still used.
    """

    eager: nn.Module
    patience: float = 10.0
    spent: dict[bool, float] = field(default_factory=lambda: {False: 0.0, True: 0.0})
    forms: dict[bool, Form] = field(default_factory=dict)

    def __call__(self, points: Tensor) -> Tensor:
        """Logits (n, k) of points (n, c, h, w)."""
        differentiable = torch.is_grad_enabled()
        if differentiable not in self.forms and self.spent[differentiable] >= self.patience:
            self.forms[differentiable] = compiled(self.eager, points, frozen=not differentiable)
        if differentiable in self.forms:
            return self.forms[differentiable](points)
        began = time.perf_counter()
        logits: Tensor = self.eager(points)
        self.spent[differentiable] += time.perf_counter() - began
        return logits


def compiled(network: nn.Module, points: Tensor, *, frozen: bool = False) -> Form:
    """The network in eval mode as compiled code, tried on some points; the network itself if that
    fails.

    Its weights may change afterwards, unless they are `frozen` into the code.
    """
    import torch._inductor.config as inductor

    form: Form = torch.compile(copy.deepcopy(network) if frozen else network)
    try:
        with warnings.catch_warnings(), inductor.patch(freezing=frozen):
            warnings.simplefilter("ignore")
            _try(form, points.detach(), frozen)
    except Exception:  # there is no C++ compiler, or the tracer fails
        return network
    # A function, not a module: a module that stores it must not register the weights again.
    return lambda points: _at_least_two(form, points)


def operations(network: nn.Module, image: Tensor) -> int:
    """Multiplications and additions of one forward pass of an image (1, c, h, w)."""
    # Imported here because it imports Triton, which an evaluation does not need.
    from torch.utils.flop_counter import FlopCounterMode

    copied = copy.deepcopy(network).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copied(image)
    return int(counter.get_total_flops())


def _try(form: Form, points: Tensor, frozen: bool) -> None:
    """Run the form once, with a gradient unless frozen: code is compiled at its first use."""
    with torch.set_grad_enabled(not frozen):
        if frozen:
            _at_least_two(form, points)
        else:
            point = points.requires_grad_()
            torch.autograd.grad(_at_least_two(form, point).sum(), point)


def _at_least_two(form: Form, points: Tensor) -> Tensor:
    """Run the form on two rows at least: a batch of one would be compiled separately."""
    batch = torch.cat([points, points]) if len(points) == 1 else points
    torch._dynamo.maybe_mark_dynamic(batch, 0)
    return form(batch)[: len(points)]

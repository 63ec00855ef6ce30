"""Networks as compiled code: where asking takes long, and for nothing but speed.

There are two forms: one that gradients flow through, and a faster one for answers alone, whose
weights are constants of the code. Both serve every batch size.
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
    """`eager` in eval mode, until `patience` seconds have gone into a form; compiled from then on.

    Where the network can't be compiled, it is asked as it is.
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
        answer: Tensor = self.eager(points)
        self.spent[differentiable] += time.perf_counter() - began
        return answer


def compiled(network: nn.Module, points: Tensor, *, frozen: bool = False) -> Form:
    """The network in eval mode as compiled code, tried on some points; the network itself where
    that fails.

    Its weights may change afterwards, unless they are to be `frozen` into the code.
    """
    import torch._inductor.config as inductor

    form: Form = torch.compile(copy.deepcopy(network) if frozen else network)
    try:
        with warnings.catch_warnings(), inductor.patch(freezing=frozen):
            warnings.simplefilter("ignore")
            _try(form, points.detach(), frozen)
    except Exception:  # without a C++ compiler, or where the tracer gives up
        return network
    # Behind a function, so that a module that keeps it has no second set of weights.
    return lambda points: _several(form, points)


def operations(network: nn.Module, image: Tensor) -> int:
    """Multiplications and additions of one forward pass of an image (1, c, h, w)."""
    # Imported here because Triton comes with it, which an evaluation does not need.
    from torch.utils.flop_counter import FlopCounterMode

    copied = copy.deepcopy(network).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copied(image)
    return int(counter.get_total_flops())


def _try(form: Form, points: Tensor, frozen: bool) -> None:
    """Ask once, and for a gradient too: its code is compiled at its first use."""
    with torch.set_grad_enabled(not frozen):
        if frozen:
            _several(form, points)
        else:
            point = points.requires_grad_()
            torch.autograd.grad(_several(form, point).sum(), point)


def _several(form: Form, points: Tensor) -> Tensor:
    """Ask with two rows at least: a batch of one would be compiled anew."""
    batch = torch.cat([points, points]) if len(points) == 1 else points
    torch._dynamo.maybe_mark_dynamic(batch, 0)
    return form(batch)[: len(points)]

"""A network that compiles itself once it has been asked for longer than compiling takes.

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


@dataclass
class Compiling:
    """`eager` in eval mode, until `patience` seconds have gone into a form; compiled from then on.

    Where the network can't be compiled, it is asked as it is.
    """

    eager: nn.Module
    patience: float = 10.0
    spent: dict[bool, float] = field(default_factory=lambda: {False: 0.0, True: 0.0})
    forms: dict[bool, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    def __call__(self, points: Tensor) -> Tensor:
        """Logits (n, k) of points (n, c, h, w)."""
        differentiable = torch.is_grad_enabled()
        if differentiable not in self.forms and self.spent[differentiable] >= self.patience:
            self.forms[differentiable] = self._compile(points)
        if differentiable in self.forms:
            return _several(self.forms[differentiable], points)
        began = time.perf_counter()
        answer: Tensor = self.eager(points)
        self.spent[differentiable] += time.perf_counter() - began
        return answer

    def _compile(self, points: Tensor) -> Callable[[Tensor], Tensor]:
        import torch._inductor.config as inductor

        frozen = not torch.is_grad_enabled()
        form = torch.compile(copy.deepcopy(self.eager) if frozen else self.eager)
        try:
            with warnings.catch_warnings(), inductor.patch(freezing=frozen):
                warnings.simplefilter("ignore")
                self._try(form, points.detach())
        except Exception:  # without a C++ compiler, or where the tracer gives up
            return self.eager
        return form

    @staticmethod
    def _try(form: Callable[[Tensor], Tensor], points: Tensor) -> None:
        """Ask once, and for a gradient too: its code is compiled at its first use."""
        if torch.is_grad_enabled():
            point = points.requires_grad_()
            torch.autograd.grad(_several(form, point).sum(), point)
        else:
            _several(form, points)


def _several(form: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Ask with two rows at least: a batch of one would be compiled anew."""
    batch = torch.cat([points, points]) if len(points) == 1 else points
    torch._dynamo.maybe_mark_dynamic(batch, 0)
    return form(batch)[: len(points)]

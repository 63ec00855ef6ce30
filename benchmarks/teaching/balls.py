"""What the adversary may do, and how a student finds its own adversarial examples: PGD."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .shapes import Points, Values


@dataclass(frozen=True)
class Ball:
    """All x' with ‖x' − x‖ ≤ eps and every coordinate from `low` to `high`."""

    norm: Literal["l2", "linf"]
    eps: float
    low: float = -torch.inf
    high: float = torch.inf

    def project(self, x: Points, moved: Points) -> Points:
        """The point of the ball around x that lies next to `moved`."""
        step = moved - x
        if self.norm == "linf":
            step = step.clamp(-self.eps, self.eps)
        else:
            step = step * (self.eps / step.norm(dim=-1, keepdim=True)).clamp_max(1)
        return (x + step).clamp(self.low, self.high)

    def random(self, x: Points, generator: torch.Generator) -> Points:
        """Uniform in the ball, before it is clipped to the range of coordinates."""
        if self.norm == "linf":
            step = self.eps * (2 * torch.rand(x.shape, generator=generator) - 1)
        else:
            drawn = torch.randn(x.shape, generator=generator)
            length = torch.rand(*x.shape[:-1], 1, generator=generator) ** (1 / x.shape[-1])
            step = self.eps * length * drawn / drawn.norm(dim=-1, keepdim=True)
        return (x + step).clamp(self.low, self.high)

    def along(self, gradient: Points) -> Points:
        """The direction of length 1 in which the gradient rises most."""
        if self.norm == "linf":
            return gradient.sign()
        norm: Tensor = gradient.norm(dim=-1, keepdim=True)
        return gradient / norm.clamp_min(1e-12)


Objective = Callable[[Tensor], Values]
"""Points (s, n, d) -> what the attack raises, (s, n)."""


def ascend(
    objective: Objective, x: Points, ball: Ball, *, steps: int, generator: torch.Generator
) -> Points:
    """PGD: `steps` steps of 2.5 ε / steps from a random start in the ball."""
    point = ball.random(x, generator)
    for _ in range(steps):
        point = point.requires_grad_()
        (gradient,) = torch.autograd.grad(objective(point).sum(), point)
        moved = point.detach() + 2.5 * ball.eps / steps * ball.along(gradient)
        point = ball.project(x, moved)
    return point.detach()

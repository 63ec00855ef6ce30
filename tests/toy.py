"""Linear models, whose worst case in the box is known exactly for each norm.

Between two classes the attack on a linear model is a continuous knapsack: coordinate i can move by
at most `room_i` and changes the margin by `rate_i` = |w_i| per unit. The optimal movement is a clip
(ℓ∞), greedy by rate (ℓ1), or proportional to the rate and clipped to the room (ℓ2; the factor is
found by bisection).
"""

import torch
from torch import Tensor, nn

from bench.threats import Threat


class Linear(nn.Module):
    """Logits Wx + b; each row is bit for bit the same in every batch."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1)[:, None] * self.weight).sum(2) + self.bias


def linear_model(seed: int, shape: tuple[int, int, int] = (1, 6, 6), classes: int = 2) -> Linear:
    """A random linear classifier of images (c, h, w) with equal logits at the grey image."""
    generator = torch.Generator().manual_seed(seed)
    size = int(torch.Size(shape).numel())
    weight = torch.randn(classes, size, generator=generator) / size**0.5
    return Linear(weight, -weight.sum(1) / 2).eval()


def images(seed: int, n: int, shape: tuple[int, int, int] = (1, 6, 6)) -> Tensor:
    """Random images (n, c, h, w), about a third of whose pixels are exactly 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(n, *shape, generator=generator) * 1.5 - 0.25).clamp(0, 1)


def exact_worst_case(model: Linear, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    """The least margin z_y − max_{j≠y} z_j in ball ∩ box, (n,) float64: positive where robust."""
    weight, bias, start = model.weight.double(), model.bias.double(), x.flatten(1).double()
    logits = start @ weight.T + bias
    margins = torch.full_like(logits, torch.inf)
    for other in range(len(weight)):
        slope = weight[y] - weight[other]
        room = torch.where(slope > 0, start, 1 - start)
        lost = (slope.abs() * SPEND[threat.norm](slope.abs(), room, threat.eps)).sum(1)
        margin = logits.gather(1, y[:, None])[:, 0] - logits[:, other] - lost
        margins[:, other] = torch.where(y == other, torch.inf, margin)
    return margins.amin(1)


def spend_linf(rate: Tensor, room: Tensor, eps: float) -> Tensor:
    return room.clamp(max=eps)


def spend_l1(rate: Tensor, room: Tensor, eps: float) -> Tensor:
    order = rate.argsort(1, descending=True)
    offered = room.gather(1, order)
    before = offered.cumsum(1) - offered
    return torch.zeros_like(room).scatter(
        1, order, torch.minimum(offered, (eps - before).clamp(min=0))
    )


def spend_l2(rate: Tensor, room: Tensor, eps: float) -> Tensor:
    low, high = torch.zeros(len(rate), 1).double(), torch.full((len(rate), 1), 1e12).double()
    for _ in range(200):
        factor = (low + high) / 2
        inside = torch.minimum(rate * factor, room).norm(dim=1, keepdim=True) <= eps
        low, high = torch.where(inside, factor, low), torch.where(inside, high, factor)
    return torch.minimum(rate * low, room)


SPEND = {"linf": spend_linf, "l1": spend_l1, "l2": spend_l2}


def is_flat_at_bound() -> bool:
    """Whether torch's clamp has no gradient at its bounds, as in newer versions."""
    bound = torch.ones(1, requires_grad=True)
    (gradient,) = torch.autograd.grad(bound.clamp(0, 1).sum(), bound)
    return not gradient.any()

"""The nearest point of a hyperplane in the box (Croce & Hein 2020, "Minimally distorted adversarial
examples with a fast adaptive boundary attack", section 2), for each norm.

Pixel i earns `rate_i` = |gradient_i| for each unit that it moves, and may move by at most `room_i`.
The cheapest way to earn what is missing is an equal movement (ℓ∞) or one in proportion to the rate
(ℓ2), both where there is room for it, or the best rates first (ℓ1). Where the box does not reach
the plane, everything moves as far as it can.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from bench.threats import Norm
from bench.threats.geometry import Batch, lift, room
from bench.threats.root_finding import cross

Reach = Callable[[Batch, Float[Tensor, " n"]], Batch]
"""(point, value there of the function that is 0 on the plane) -> the least movement to it."""

PRECISION = 1e-4
"""The share of the way to the plane that may be missing."""


def toward(norm: Norm, gradient: Batch) -> Reach:
    """How to reach the zeros of an affine function with this gradient."""
    rate = gradient.abs().flatten(1)
    movement = _MOVEMENTS[norm](rate)

    def reach(point: Batch, value: Float[Tensor, " n"]) -> Batch:
        way = gradient * lift(-value, gradient)
        limit = room(point, way).flatten(1)
        return way.sign_().mul_(movement(limit, value.abs()[:, None]).reshape(way.shape))

    return reach


Movement = Callable[[Float[Tensor, "n d"], Float[Tensor, "n 1"]], Float[Tensor, "n d"]]
"""(room, what is to be earned) -> how far each pixel moves."""


def equal(rate: Float[Tensor, "n d"]) -> Movement:
    """min(λ, room): ℓ∞."""
    total = rate.sum(1, keepdim=True).clamp_min(1e-30)

    def movement(limit: Tensor, need: Tensor) -> Tensor:
        scratch = torch.empty_like(rate)

        def earned(height: Tensor) -> Tensor:
            torch.minimum(limit, height, out=scratch)
            return scratch.mul_(rate).sum(1, keepdim=True)

        least = (need / total).clamp_max(1)
        height = cross(earned, need, least, torch.ones_like(need), PRECISION, power=1.0)
        return torch.minimum(limit, height, out=scratch)

    return movement


def proportional(rate: Float[Tensor, "n d"]) -> Movement:
    """min(λ · rate, room): ℓ2."""
    total = rate.square().sum(1, keepdim=True).clamp_min(1e-30)

    def movement(limit: Tensor, need: Tensor) -> Tensor:
        scratch = torch.empty_like(rate)

        def moved(factor: Tensor) -> Tensor:
            return torch.minimum(torch.mul(rate, factor, out=scratch), limit, out=scratch)

        def earned(factor: Tensor) -> Tensor:
            return moved(factor).mul_(rate).sum(1, keepdim=True)

        least = need / total
        most = torch.where(earned(8 * least) > need, 8 * least, 1e6 * least)
        return moved(cross(earned, need, least, most, PRECISION, power=1.0))

    return movement


def greedy(rate: Float[Tensor, "n d"]) -> Movement:
    """As far as there is room, by falling rate: ℓ1.

    The best rates, an eighth of all and at least 256, are put in order; if they don't suffice, all
    the others move by the same share of their room.
    """
    size = rate.shape[1]
    best = rate.topk(min(size, max(256, size // 8)), dim=1)

    def movement(limit: Tensor, need: Tensor) -> Tensor:
        offered = limit.gather(1, best.indices)
        earned = offered * best.values
        left = (need - earned.cumsum(1) + earned).clamp_min(0)
        share = (left / earned.clamp_min(1e-30)).clamp_max(1)
        rest = rate * limit
        others = rest.sum(1, keepdim=True) - earned.sum(1, keepdim=True)
        lacking = (need - earned.sum(1, keepdim=True)).clamp_min(0)
        moved = limit * (lacking / others.clamp_min(1e-30)).clamp_max(1)
        return moved.scatter(1, best.indices, offered * share)

    return movement


_MOVEMENTS: dict[Norm, Callable[[Tensor], Movement]] = {
    "linf": equal,
    "l2": proportional,
    "l1": greedy,
}

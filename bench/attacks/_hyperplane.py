"""The nearest point of a hyperplane in the box (Croce & Hein 2020, "Minimally distorted adversarial
examples with a fast adaptive boundary attack", section 2), for each norm.

Moving pixel i by one unit changes the function by `rate_i` = |gradient_i|; the box allows at most
`room_i`. The movement of least norm that gives the required change is equal in all pixels (ℓ∞),
proportional to the rate (ℓ2), both clipped to the room, or takes the largest rates first (ℓ1).
Where the plane does not meet the box, every pixel moves to its bound.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from bench.threats import Norm
from bench.threats.geometry import Points, lift, room
from bench.threats.root_finding import find_root

Reach = Callable[[Points, Float[Tensor, " n"]], Points]
"""(point, value there of the function that is 0 on the plane) -> least movement to the plane."""

PRECISION = 1e-4
"""The movement may fall short of the plane by this share of the distance."""


def toward(norm: Norm, gradient: Points) -> Reach:
    """The least movement to the zeros of an affine function with this gradient."""
    rate = gradient.abs().flatten(1)
    movement = _MOVEMENTS[norm](rate)

    def reach(point: Points, value: Float[Tensor, " n"]) -> Points:
        way = gradient * lift(-value, gradient)
        limit = room(point, way).flatten(1)
        return way.sign_().mul_(movement(limit, value.abs()[:, None]).reshape(way.shape))

    return reach


Movement = Callable[[Float[Tensor, "n d"], Float[Tensor, "n 1"]], Float[Tensor, "n d"]]
"""(room, required change of the function) -> how far each pixel moves."""


def equal(rate: Float[Tensor, "n d"]) -> Movement:
    """min(λ, room): ℓ∞."""
    total = rate.sum(1, keepdim=True).clamp_min(1e-30)

    def movement(limit: Tensor, need: Tensor) -> Tensor:
        scratch = torch.empty_like(rate)

        def change(height: Tensor) -> Tensor:
            torch.minimum(limit, height, out=scratch)
            return scratch.mul_(rate).sum(1, keepdim=True)

        least = (need / total).clamp_max(1)
        height = find_root(change, need, least, torch.ones_like(need), PRECISION, power=1.0)
        return torch.minimum(limit, height, out=scratch)

    return movement


def proportional(rate: Float[Tensor, "n d"]) -> Movement:
    """min(λ · rate, room): ℓ2."""
    total = rate.square().sum(1, keepdim=True).clamp_min(1e-30)

    def movement(limit: Tensor, need: Tensor) -> Tensor:
        scratch = torch.empty_like(rate)

        def moved(factor: Tensor) -> Tensor:
            return torch.minimum(torch.mul(rate, factor, out=scratch), limit, out=scratch)

        def change(factor: Tensor) -> Tensor:
            return moved(factor).mul_(rate).sum(1, keepdim=True)

        least = (need / total).clamp_max(1e30)  # not infinite times 0
        most = torch.where(change(8 * least) > need, 8 * least, 1e6 * least)
        return moved(find_root(change, need, least, most, PRECISION, power=1.0))

    return movement


def greedy(rate: Float[Tensor, "n d"]) -> Movement:
    """The full room of each pixel, by decreasing rate, until the change is reached: ℓ1.

    Only the largest rates, an eighth of all and at least 256, are sorted; if they don't suffice,
    all other pixels move by the same share of their room.
    """
    size = rate.shape[1]
    best = rate.topk(min(size, max(256, size // 8)), dim=1)

    def movement(limit: Tensor, need: Tensor) -> Tensor:
        offered = limit.gather(1, best.indices)
        change = offered * best.values
        left = (need - change.cumsum(1) + change).clamp_min(0)
        share = (left / change.clamp_min(1e-30)).clamp_max(1)
        rest = rate * limit
        others = rest.sum(1, keepdim=True) - change.sum(1, keepdim=True)
        lacking = (need - change.sum(1, keepdim=True)).clamp_min(0)
        moved = limit * (lacking / others.clamp_min(1e-30)).clamp_max(1)
        return moved.scatter(1, best.indices, offered * share)

    return movement


_MOVEMENTS: dict[Norm, Callable[[Tensor], Movement]] = {
    "linf": equal,
    "l2": proportional,
    "l1": greedy,
}

"""The geometry of a threat: distance, projection, steepest step and random start, one table entry a
norm.

Everything happens on perturbations `delta` (n, …) of images `x` (n, …) in [0, 1]; `eps` is a number
or one value an example. Projections are Euclidean and land on the ball *and* the box at once:
clipping to the box after rescaling to the ball would leave budget unspent (Croce & Hein 2021, "Mind
the box"). Nothing here waits for the device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bench.threats import Norm

Batch = Float[Tensor, "n *shape"]
Radius = float | Float[Tensor, " n"]

SLACK = 2e-6
"""ℓ2 and ℓ1 projections aim at eps·(1 − SLACK): rounding x + delta to float32 must not leave the
ball."""


def lift(values: Tensor, like: Tensor) -> Tensor:
    """Shape (n,) -> (n, 1, …, 1), ready to broadcast against `like`."""
    return values.reshape(-1, *(1,) * (like.dim() - 1))


def _radius(eps: Radius, like: Tensor) -> Tensor:
    return lift(eps, like) if isinstance(eps, Tensor) else torch.full((), eps, device=like.device)


def _sum(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def box(x: Batch, delta: Batch) -> Batch:
    """The perturbation of x that is nearest to delta and keeps x + delta in [0, 1]."""
    return torch.minimum(torch.maximum(delta, -x), 1 - x)


EDGE = 1e-6
"""A pixel as near as this to 0 or 1 is there: x + delta is rounded."""

_ROUNDS = 32
"""Enough for the worst spread of magnitudes; on the CPU the searches stop as soon as they have
settled."""


def _known(settled: Tensor) -> bool:
    """Whether all of `settled` is true, where asking is free; on a device, not asking is faster."""
    return not settled.is_cuda and bool(settled.all())


def linf_distance(delta: Batch) -> Float[Tensor, " n"]:
    """max |delta_i|."""
    return delta.flatten(1).abs().amax(1)


def linf_project(x: Batch, delta: Batch, eps: Radius) -> Batch:
    """Clip each coordinate."""
    radius = _radius(eps, x)
    return box(x, torch.minimum(torch.maximum(delta, -radius), radius))


def linf_steepest(gradient: Batch, point: Batch) -> Batch:
    """The sign of the gradient."""
    return gradient.sign()


def linf_gap(x: Batch, delta: Batch, gradient: Batch, eps: Radius) -> Float[Tensor, " n"]:
    """max ⟨gradient, delta' − delta⟩ over ball ∩ box: every coordinate goes to its bound."""
    radius = _radius(eps, x)
    up = torch.minimum(1 - x, radius) - delta
    down = torch.maximum(-x, -radius) - delta
    return _sum(torch.maximum(gradient * up, gradient * down))


def linf_start(u: Batch, eps: Radius) -> Batch:
    """Uniform in the ball, from uniform numbers u in (0, 1)."""
    return (2 * u - 1) * _radius(eps, u)


def l2_distance(delta: Batch) -> Float[Tensor, " n"]:
    """The Euclidean norm."""
    return torch.linalg.vector_norm(delta.flatten(1), dim=1)


def l2_project(x: Batch, delta: Batch, eps: Radius) -> Batch:
    """clip(s · delta) to the box, with the largest s ≤ 1 for which its norm is at most eps.

    Given which coordinates are clipped, s is a closed form, and s only grows as more of them are: a
    few rounds find it, and none oversteps.
    """
    radius = _radius(eps, x) * (1 - SLACK)
    scale = (radius / lift(l2_distance(delta), x).clamp_min(1e-12)).clamp_max(1)
    for _ in range(_ROUNDS):
        moved = delta * scale
        clipped = box(x, moved)
        fixed = clipped != moved
        spent = lift(_sum(clipped.square() * fixed), x)
        loose = lift(_sum(delta.square() * ~fixed), x)
        grown = ((radius.square() - spent).clamp_min(0) / loose.clamp_min(1e-24)).sqrt()
        grown = torch.maximum(scale, grown).clamp_max(1)
        if _known(grown <= scale * (1 + SLACK)):
            break
        scale = grown
    result = box(x, delta * scale)
    return result * (radius / lift(l2_distance(result), x).clamp_min(1e-12)).clamp_max(1)


def l2_steepest(gradient: Batch, point: Batch) -> Batch:
    """The gradient at unit length."""
    return gradient / lift(l2_distance(gradient), gradient).clamp_min(1e-12)


def l2_gap(x: Batch, delta: Batch, gradient: Batch, eps: Radius) -> Float[Tensor, " n"]:
    """eps · ‖gradient‖₂ − ⟨gradient, delta⟩: the box is left out, which can only make it larger."""
    spent = (gradient * delta).flatten(1).sum(1)
    return eps * l2_distance(gradient) - spent


def l2_start(u: Batch, eps: Radius) -> Batch:
    """Uniform on the sphere of radius eps, from uniform numbers u in (0, 1)."""
    return l2_steepest(torch.erfinv(2 * u - 1), u) * _radius(eps, u)


def l1_distance(delta: Batch) -> Float[Tensor, " n"]:
    """Σ |delta_i|."""
    return delta.flatten(1).abs().sum(1)


def l1_project(x: Batch, delta: Batch, eps: Radius) -> Batch:
    """sign(delta) · min(max(|delta| − λ, 0), room): soft-thresholding that knows the box (Croce &
    Hein 2021, prop. 2.1).

    The ℓ1 norm falls piecewise linearly in λ. Newton's step is exact on the right piece; a bracket
    keeps it safe on the way there, and the end that is returned lies inside the ball.
    """
    radius = _radius(eps, x) * (1 - SLACK)
    size = delta.abs()
    room = torch.where(delta > 0, 1 - x, x)
    high = lift(size.flatten(1).amax(1), x)
    low = torch.zeros_like(high)
    threshold = low
    for turn in range(_ROUNDS):
        shrunk = size - threshold
        excess = lift(_sum(torch.minimum(shrunk.clamp_min(0), room)), x) - radius
        slope = lift(_sum(((shrunk > 0) & (shrunk < room)).to(x.dtype)), x)
        outside = excess > radius * SLACK / 2
        low = torch.where(outside, threshold, low)
        high = torch.where(outside, high, threshold)
        if _known(~outside & ((excess >= -radius * SLACK) | (threshold == 0))):
            break
        newton = threshold + excess / slope.clamp_min(0.5)
        helpful = (newton > low) & (newton < high) & (slope > 0) & (turn % 4 != 3)
        threshold = torch.where(helpful, newton, (low + high) / 2)
    return delta.sign() * torch.minimum((size - high).clamp_min(0), room)


def l1_steepest(gradient: Batch, point: Batch, sparsity: float = 0.05) -> Batch:
    """The largest gradient entries (a fraction of them) that the box does not block, at unit ℓ1
    norm.

    In proportion to the gradient, not its sign: equal steps could not move budget between two of
    them.
    """
    blocked = ((point <= EDGE) & (gradient < 0)) | ((point >= 1 - EDGE) & (gradient > 0))
    free = gradient.masked_fill(blocked, 0)
    size = free.abs().flatten(1)
    count = max(1, round(sparsity * size.shape[1]))
    least = size.topk(count, dim=1).values[:, -1].clamp_min(1e-30)
    step = free.masked_fill(free.abs() < lift(least, free), 0)
    return step / lift(l1_distance(step), step).clamp_min(1e-30)


def l1_gap(x: Batch, delta: Batch, gradient: Batch, eps: Radius) -> Float[Tensor, " n"]:
    """A fractional knapsack: the steepest coordinates move to their bound until eps is spent.

    The 256 steepest ones are looked at, and the rest of the budget is spent at the rate of the last
    of them.
    """
    spent = (gradient * delta).flatten(1).sum(1)
    steep = gradient.abs().flatten(1).topk(min(256, gradient[0].numel()), dim=1)
    room = torch.where(gradient > 0, 1 - x, x).flatten(1).gather(1, steep.indices)
    left = (lift(_radius(eps, spent).expand_as(spent), room) - room.cumsum(1) + room).clamp_min(0)
    used = torch.minimum(room, left)
    rest = (left[:, -1] - used[:, -1]) * steep.values[:, -1]
    return (used * steep.values).sum(1) + rest - spent


def l1_start(u: Batch, eps: Radius) -> Batch:
    """Uniform on the surface of the ball (normalised Laplace), from uniform numbers u in (0, 1)."""
    v = 2 * u - 1
    laplace = -v.sign() * torch.log1p(-v.abs())
    return laplace / lift(l1_distance(laplace), u) * _radius(eps, u)


@dataclass(frozen=True)
class Geometry:
    """The maps of a norm."""

    distance: Callable[[Batch], Float[Tensor, " n"]]
    project: Callable[[Batch, Batch, Radius], Batch]
    steepest: Callable[[Batch, Batch], Batch]
    start: Callable[[Batch, Radius], Batch]
    gap: Callable[[Batch, Batch, Batch, Radius], Float[Tensor, " n"]]


GEOMETRY: dict[Norm, Geometry] = {
    "linf": Geometry(linf_distance, linf_project, linf_steepest, linf_start, linf_gap),
    "l2": Geometry(l2_distance, l2_project, l2_steepest, l2_start, l2_gap),
    "l1": Geometry(l1_distance, l1_project, l1_steepest, l1_start, l1_gap),
}

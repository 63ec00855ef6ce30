"""The geometry of a threat: distance, projection, steepest step, random start and Frank-Wolfe gap,
with one entry of `GEOMETRY` per norm.

All functions take perturbations `delta` (n, …) of images `x` (n, …) in [0, 1]; `eps` is a number or
one value per example. Projections are Euclidean and onto the intersection of ball *and* box:
clipping to the box after rescaling to the ball would leave budget unspent (Croce & Hein 2021, "Mind
the box"). No function here synchronises with the GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bench.threats import Norm
from bench.threats.root_finding import find_root

Points = Float[Tensor, "n *shape"]
Radius = float | Float[Tensor, " n"]

SLACK = 1e-5
"""ℓ2 and ℓ1 projections use the radius eps·(1 − SLACK), so that x + delta rounded to float32 stays
in the ball; under small budgets a radius smaller by the largest error of that rounding."""
ROUNDING = 2**-25
"""The largest error of a pixel in [0, 1] by rounding to float32."""


def lift(values: Tensor, like: Tensor) -> Tensor:
    """Shape (n,) -> (n, 1, …, 1), ready to broadcast against `like`."""
    return values.reshape(-1, *(1,) * (like.dim() - 1))


def pick(rows: Bool[Tensor, " n"], new: Points, old: Points) -> Points:
    """`new` in some rows, `old` in the others. On a CPU nothing is copied if no row is chosen; on a
    GPU that test would synchronise."""
    if not rows.is_cuda and not bool(rows.any()):
        return old
    return torch.where(lift(rows, old), new, old)


def _radius(eps: Radius, like: Tensor) -> Tensor | float:
    return lift(eps, like) if isinstance(eps, Tensor) else eps


def _column(values: Radius, like: Tensor) -> Float[Tensor, "n 1"]:
    if isinstance(values, Tensor):
        return values.reshape(-1, 1).to(like.dtype)
    return torch.full_like(like[:, :1], values)


def _inner_radius(eps: Radius, rows: Float[Tensor, "n d"], error: float) -> Float[Tensor, "n 1"]:
    """The radius of a projection; `error` is how far rounding may move x + delta."""
    radius = _column(eps, rows)
    return torch.minimum(radius * (1 - SLACK), torch.maximum(radius - error, radius / 2))


def _sum(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def box(x: Points, delta: Points) -> Points:
    """The perturbation closest to delta with x + delta in [0, 1]."""
    return torch.clamp(delta, -x, 1 - x)


def reflected(points: Points) -> Points:
    """Points outside [0, 1] by less than 1, reflected at the bounds: clipping would concentrate
    them on the bounds."""
    return 1 - (1 - points.abs()).abs()


def room(x: Points, direction: Points) -> Points:
    """How far each pixel can move within [0, 1]: 1 − x where direction > 0, elsewhere x."""
    upwards: Tensor = torch.gt(direction, 0, out=torch.empty_like(x))
    return upwards.sub_(x).abs_()  # several times faster than torch.where


EDGE = 1e-6
"""A pixel this close to 0 or 1 counts as being on the bound, because x + delta is rounded."""


def linf_distance(delta: Points) -> Float[Tensor, " n"]:
    """max |delta_i|."""
    return delta.flatten(1).abs().amax(1)


def linf_project(x: Points, delta: Points, eps: Radius) -> Points:
    """Clip each coordinate."""
    radius = _radius(eps, x)
    return torch.clamp(delta, (-x).clamp_min_(-radius), (1 - x).clamp_max_(radius))


def linf_steepest(gradient: Points, point: Points) -> Points:
    """The sign of the gradient."""
    return gradient.sign()


def linf_gap(x: Points, delta: Points, gradient: Points, eps: Radius) -> Float[Tensor, " n"]:
    """max of ⟨gradient, delta' − delta⟩ over delta' in ball ∩ box: each coordinate at a bound."""
    radius = _radius(eps, x)
    up = (1 - x).clamp_max_(radius).sub_(delta)
    down = (-x).clamp_min_(-radius).sub_(delta)
    return _sum(torch.maximum(gradient * up, gradient * down))


def linf_start(u: Points, eps: Radius) -> Points:
    """Uniform in the ball, from uniform numbers u in (0, 1)."""
    return (2 * u - 1) * _radius(eps, u)


def l2_distance(delta: Points) -> Float[Tensor, " n"]:
    """The Euclidean norm."""
    lengths: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
    return lengths


def l2_project(x: Points, delta: Points, eps: Radius) -> Points:
    """clip(s · delta) to the box, with the largest s ≤ 1 for which its norm is at most eps."""
    size, limit = delta.abs().flatten(1), room(x, delta).flatten(1)
    radius = _inner_radius(eps, size, ROUNDING * size.shape[1] ** 0.5)
    scratch = torch.empty_like(size)

    def length(scale: Tensor) -> Tensor:
        torch.minimum(torch.mul(size, scale, out=scratch), limit, out=scratch)
        return l2_distance(scratch)[:, None]

    least = (radius / l2_distance(size)[:, None].clamp_min(1e-12)).clamp_max(1)
    scale = find_root(length, radius, least, torch.ones_like(least), power=1.0)
    return box(x, delta * lift(scale, x))


def _scaled(gradient: Points, extreme: Bool[Tensor, " n"]) -> Points:
    """The gradient, divided by its largest entry in the rows that are extreme."""
    if gradient.is_cuda or bool(extreme.any()):  # on a GPU the test would synchronise
        largest = torch.where(extreme, linf_distance(gradient).clamp_min(1e-37), 1.0)
        gradient = gradient / lift(largest, gradient)
    return gradient


def l2_steepest(gradient: Points, point: Points) -> Points:
    """The gradient at unit length."""
    length = l2_distance(gradient)
    # Squares of very small or large entries underflow or overflow.
    scaled = _scaled(gradient, ~((length >= 1e-12) & length.isfinite()))
    if scaled is not gradient:
        length = l2_distance(scaled)
    return scaled / lift(length, scaled).clamp_min(1e-12)


def l2_gap(x: Points, delta: Points, gradient: Points, eps: Radius) -> Float[Tensor, " n"]:
    """eps · ‖gradient‖₂ − ⟨gradient, delta⟩: an upper bound, because the box is ignored."""
    spent = (gradient * delta).flatten(1).sum(1)
    return eps * l2_distance(gradient) - spent


def l2_start(u: Points, eps: Radius) -> Points:
    """Uniform on the sphere of radius eps, from uniform numbers u in (0, 1)."""
    return l2_steepest(torch.erfinv(2 * u - 1), u) * _radius(eps, u)


def l1_distance(delta: Points) -> Float[Tensor, " n"]:
    """Σ |delta_i|."""
    return delta.flatten(1).abs().sum(1)


def l1_project(x: Points, delta: Points, eps: Radius) -> Points:
    """sign(delta) · min(max(|delta| − λ, 0), room), with the least λ ≥ 0 that is inside the ball.

    Soft-thresholding that respects the box (Croce & Hein 2021, prop. 2.1).
    """
    size, limit = delta.abs().flatten(1), room(x, delta).flatten(1)
    scratch, zero = torch.empty_like(size), size.new_zeros(())

    def shrink(threshold: Tensor) -> Tensor:
        return torch.clamp(torch.sub(size, threshold, out=scratch), zero, limit, out=scratch)

    radius = _inner_radius(eps, size, ROUNDING * size.shape[1])
    highest = size.amax(1, keepdim=True)
    threshold = find_root(
        lambda threshold: shrink(threshold).sum(1, keepdim=True),
        radius,
        highest,
        torch.zeros_like(highest),
    )
    return shrink(threshold).reshape(x.shape).copysign_(delta)


def l1_largest(
    gradient: Points, point: Points, sparsity: float | Float[Tensor, " n"] = 0.05
) -> Points:
    """The largest gradient entries whose pixels are not on the bound of the box; zeros elsewhere.

    `sparsity` is the share of the entries that is taken. 5 % more are taken, as in all earlier
    records, and so are entries equal to the smallest of them.
    """
    gradient = _scaled(gradient, linf_distance(gradient) < 1e-25)  # below 1e-30 would count as 0
    free = room(point, gradient).flatten(1).sub_(EDGE).mul_(1e30)
    size = torch.minimum(gradient.abs().flatten(1), free, out=free)
    entries = size.shape[1]
    rank = (_column(sparsity, size) * 1.05 * entries).round().long().clamp(1, entries)
    least = _ascending(size).gather(1, entries - rank).clamp_min_(1e-30)
    return gradient * torch.ge(size, least, out=size).reshape(gradient.shape)


def _ascending(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Each row sorted in ascending order; on a CPU numpy sorts many times faster than torch."""
    if rows.device.type == "cpu":
        return torch.from_numpy(numpy.sort(rows.numpy(), axis=1))
    return rows.sort(dim=1).values


def l1_steepest(gradient: Points, point: Points) -> Points:
    """The largest gradient entries scaled to unit ℓ1 norm. They keep their proportions, because
    equal steps could not move budget from one entry to another."""
    step = l1_largest(gradient, point)
    return step.div_(lift(l1_distance(step), step).clamp_min(1e-30))


def l1_signs(gradient: Points, point: Points, sparsity: float | Float[Tensor, " n"]) -> Points:
    """The signs of the largest gradient entries at unit ℓ1 norm (Croce & Hein 2021)."""
    step = l1_largest(gradient, point, sparsity).sign_()
    return step.div_(lift(l1_distance(step), step).clamp_min(1))


def l1_gap(x: Points, delta: Points, gradient: Points, eps: Radius) -> Float[Tensor, " n"]:
    """A fractional knapsack: the steepest coordinates move to their bound until eps is spent.

    Only the 256 steepest coordinates are used; the remaining budget is spent at the slope of the
    last of them, which gives an upper bound.
    """
    spent = (gradient * delta).flatten(1).sum(1)
    steep = gradient.abs().flatten(1).topk(min(256, gradient[0].numel()), dim=1)
    offered = room(x, gradient).flatten(1).gather(1, steep.indices)
    left = (_column(eps, offered) - offered.cumsum(1) + offered).clamp_min(0)
    used = torch.minimum(offered, left)
    rest = (left[:, -1] - used[:, -1]) * steep.values[:, -1]
    return (used * steep.values).sum(1) + rest - spent


def l1_start(u: Points, eps: Radius) -> Points:
    """Uniform on the surface of the ball (normalised Laplace), from uniform numbers u in (0, 1)."""
    v = 2 * u - 1
    laplace = -v.sign() * torch.log1p(-v.abs())
    return laplace / lift(l1_distance(laplace), u) * _radius(eps, u)


@dataclass(frozen=True)
class Geometry:
    """The maps of a norm."""

    distance: Callable[[Points], Float[Tensor, " n"]]
    project: Callable[[Points, Points, Radius], Points]
    steepest: Callable[[Points, Points], Points]
    start: Callable[[Points, Radius], Points]
    gap: Callable[[Points, Points, Points, Radius], Float[Tensor, " n"]]

    def random(self, x: Points, u: Points, eps: Radius) -> Points:
        """A random perturbation of x within ball ∩ box, from uniform numbers u in (0, 1)."""
        return self.project(x, self.start(u, eps), eps)

    def full_step(self, x: Points, gradient: Points, eps: float) -> Points:
        """The perturbation of x by one step of length eps along the steepest direction."""
        return self.project(x, eps * self.steepest(gradient, x), eps)


GEOMETRY: dict[Norm, Geometry] = {
    "linf": Geometry(linf_distance, linf_project, linf_steepest, linf_start, linf_gap),
    "l2": Geometry(l2_distance, l2_project, l2_steepest, l2_start, l2_gap),
    "l1": Geometry(l1_distance, l1_project, l1_steepest, l1_start, l1_gap),
}

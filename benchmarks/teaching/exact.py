"""The exact worst case of a student in euclidean balls: the least value of ±f in each.

`worst_quadratic`: minimising a quadratic over a ball has no duality gap, whatever its signature
(Boyd & Vandenberghe 2004, appendix B.1). With the eigenvalues of the matrix the dual has one
variable and is concave. Any value of it gives a lower bound, and the point that belongs to it an
upper bound: both are returned.

`worst_piecewise`: a network with one hidden layer of ReLU in the plane is linear on the cells that
its units' lines cut out. Its least value in a disc is therefore at a crossing of two lines, at a
crossing of a line with the circle, or where the circle is normal to a cell's gradient. All of these
points are visited.
"""

import torch
from jaxtyping import Float
from torch import Tensor

HALVINGS = 80


def worst_quadratic(
    matrix: Float[Tensor, "s d d"],
    slope: Float[Tensor, "s d"],
    offset: Float[Tensor, " s"],
    x: Float[Tensor, "s n d"],
    radius: Float[Tensor, "s n"],
) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
    """A lower and an upper bound of the least f(x') = x'ᵀAx' + bᵀx' + c with ‖x' − x‖ ≤ radius.

    `matrix` is symmetric. In float64.
    """
    values, vectors = torch.linalg.eigh(matrix)
    gradient = 2 * x @ matrix + slope[:, None]
    start = ((x @ matrix) * x).sum(-1) + (x * slope[:, None]).sum(-1) + offset[:, None]
    turned, curvature = gradient @ vectors, values[:, None]
    # What rounding leaves of a zero would matter where the curvature is zero too.
    largest = turned.abs().amax(-1, keepdim=True)
    clean = turned.where(turned.abs() > 1e-12 * largest, 0)
    multiplier = _multiplier(clean, curvature, radius)
    shifted = curvature + multiplier[..., None]
    lower = start - (turned.square() / (4 * shifted)).sum(-1) - multiplier * radius.square()
    step = -clean / (2 * shifted)
    step = step * (radius / step.norm(dim=-1)).clamp_max(1)[..., None]
    # In the hard case the step ends inside the ball; what is missing goes along the least
    # eigenvalue, which changes nothing else.
    missing = (radius.square() - step.square().sum(-1)).clamp_min(0).sqrt()
    missing = missing * (curvature[..., 0] < 0) * torch.where(step[..., 0] < 0, -1, 1)
    step = torch.cat([step[..., :1] + missing[..., None], step[..., 1:]], -1)
    step = step * (radius / step.norm(dim=-1)).clamp_max(1)[..., None]
    upper = start + (turned * step).sum(-1) + (curvature * step.square()).sum(-1)
    return lower, upper


def _multiplier(turned: Tensor, curvature: Tensor, radius: Tensor) -> Float[Tensor, "s n"]:
    """Where the dual is largest: the step has the ball's radius, or the multiplier is 0."""
    floor = (-curvature[..., 0]).clamp_min(0).expand_as(radius)
    low: Tensor = floor + 1e-12
    high: Tensor = low + turned.norm(dim=-1) / (2 * radius) + 1e-12
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        length = (turned / (2 * (curvature + middle[..., None]))).norm(dim=-1)
        low = torch.where(length > radius, middle, low)
        high = torch.where(length > radius, high, middle)
    return high


def worst_piecewise(
    weight: Float[Tensor, "m 2"],
    bias: Float[Tensor, " m"],
    out: Float[Tensor, " m"],
    offset: Float[Tensor, ""],
    x: Float[Tensor, "n 2"],
    radius: Float[Tensor, " n"],
) -> Float[Tensor, " n"]:
    """The least f(x') = outᵀ relu(weight x' + bias) + offset with ‖x' − x‖ ≤ radius; in float64."""

    def f(points: Tensor) -> Tensor:
        return torch.relu(points @ weight.mT + bias) @ out + offset

    crossings = _crossings(weight, bias)
    reached = (x[:, None] - crossings).norm(dim=-1) <= radius[:, None]
    inside = torch.where(reached, f(crossings), torch.inf).amin(1) if len(crossings) else torch.inf
    angles = _angles(weight, bias, x, radius)
    middles = _halfway(angles)
    on = (_circle(x, radius, middles) @ weight.mT + bias > 0).to(x)
    gradients = (on * out) @ weight
    steepest = torch.atan2(-gradients[..., 1], -gradients[..., 0])
    around = f(_circle(x, radius, torch.cat([angles, middles, steepest], 1))).amin(1)
    return torch.minimum(around, torch.as_tensor(inside, dtype=x.dtype))


def _crossings(weight: Tensor, bias: Tensor) -> Float[Tensor, "p 2"]:
    """Where two of the lines weight x + bias = 0 cross."""
    first, second = torch.triu_indices(len(weight), len(weight), 1)
    pairs = torch.stack([weight[first], weight[second]], 1)
    crossing = torch.linalg.det(pairs).abs() > 1e-12
    sides = -torch.stack([bias[first], bias[second]], 1)[crossing]
    points: Tensor = torch.linalg.solve(pairs[crossing], sides)
    return points


def _angles(weight: Tensor, bias: Tensor, x: Tensor, radius: Tensor) -> Float[Tensor, "n 2m"]:
    """Where each line meets each circle; a line that does not, at its nearest or farthest point."""
    norm = weight.norm(dim=1)
    distance = (x @ weight.mT + bias) / norm
    half = torch.acos((-distance / radius[:, None]).clamp(-1, 1))
    normal = torch.atan2(weight[:, 1], weight[:, 0])
    return torch.cat([normal - half, normal + half], 1)


def _halfway(angles: Tensor) -> Tensor:
    """The middle of every arc between neighbouring angles."""
    ordered = angles.remainder(2 * torch.pi).sort(1).values
    following = torch.cat([ordered[:, 1:], ordered[:, :1] + 2 * torch.pi], 1)
    return (ordered + following) / 2


def _circle(x: Tensor, radius: Tensor, angles: Tensor) -> Float[Tensor, "n a 2"]:
    directions = torch.stack([angles.cos(), angles.sin()], -1)
    return x[:, None] + radius[:, None, None] * directions

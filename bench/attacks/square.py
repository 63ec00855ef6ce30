"""Square attack (Andriushchenko et al. 2020), a random search that needs no gradient.

Each query changes the best point so far in a random square; the change is kept if the margin
increases. In ℓ∞ (algorithm 2) the square is set to ±ε, with one sign per channel. In ℓ2 and ℓ1
(algorithm 3; ℓ1 as in Croce & Hein 2021) it gets a pattern, with the budget of a second square that
is set to zero. The squares shrink with the number of queries.

Unlike in the published code, each slot draws its own squares, and these reach the image's last row
and column.
"""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bench import losses
from bench.attacks import _patterns
from bench.attacks.base import Response, Slots
from bench.compute import random_streams
from bench.threats import Threat
from bench.threats.geometry import SLACK, Points, l1_project, l2_distance, lift, pick

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""After each of these queries the squares' area is halved."""


@dataclass(frozen=True)
class Square:
    """One run of `queries` queries; `area` is the share of the image in the first squares."""

    queries: int = 5000
    area: float = 0.8
    name: str = "square"
    needs_gradient: bool = False
    bounded: bool = True

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """max over wrong classes of z_j, minus z_y."""
        return losses.margin(logits, slots.y)

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """Vertical stripes of ±ε in ℓ∞; the image covered with patterns in ℓ2 and ℓ1."""
        if threat.norm == "linf":
            _, c, _, w = slots.x.shape
            stripes = _signs(random_streams.uniform(slots.key, c, 1, w))
            point = (slots.x + threat.eps * stripes).clamp_(0, 1)
        else:
            point = _spend(slots.x, _tiles(slots.x, slots.key, threat), threat)
        never = torch.full_like(slots.t, -torch.inf, dtype=point.dtype)
        return slots.next(point, slots.done, best=point, best_loss=never)

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """Keep the last change if the margin increased; try another."""
        better = response.loss > slots.memory["best_loss"]
        best = pick(better, slots.point, slots.memory["best"])
        point = self._change(slots, best, threat)
        loss = torch.where(better, response.loss, slots.memory["best_loss"])
        return slots.next(point, slots.t >= self.queries, best=best, best_loss=loss)

    def _change(self, slots: Slots, best: Points, threat: Threat) -> Points:
        _, c, h, w = best.shape
        sides = tuple(
            _patterns.side(self.area / 2**halvings, h, w, threat.norm)
            for halvings in range(len(HALVINGS) + 1)
        )
        level = torch.bucketize(slots.t - 1, _constant(HALVINGS, best.device))
        size = _constant(sides, best.device)[level]
        u = random_streams.uniform(random_streams.fold(slots.key, slots.t), c + 5)
        signs = _signs(u[:, :c, None, None])
        top, top2 = (_corner(u[:, c + i], h - size) for i in (0, 1))
        left, left2 = (_corner(u[:, c + i], w - size) for i in (2, 3))
        square = _patterns.window(top, left, size, best)
        if threat.norm == "linf":
            edge = (slots.x + threat.eps * signs).clamp_(0, 1)
            return torch.where(square > 0, edge, best)
        other = _patterns.window(top2, left2, size, best)
        which = 2 * level + (u[:, c + 4] > 0.5)
        patterns = _patterns.table(threat.norm, sides, best.device)
        pattern = _patterns.placed(patterns, which, top, left, best) * signs
        return _spend(slots.x, _shift(best - slots.x, pattern, square, other, threat), threat)


def _shift(delta: Points, pattern: Points, square: Tensor, other: Tensor, threat: Threat) -> Points:
    """Set both squares to zero and fill the first with the pattern, which gets their budget and
    what was unspent."""
    power = 2 if threat.norm == "l2" else 1
    channels = delta.shape[1]

    def budget(values: Tensor) -> Tensor:
        return (values.square() if power == 2 else values.abs()).sum((2, 3), keepdim=True)

    inside, either = delta * square, torch.maximum(square, other)
    pattern = pattern + inside / (budget(inside) ** (1 / power) + 1e-12)
    spent = budget(delta).sum(1, keepdim=True)
    free = budget(delta * either) + (threat.eps**power - spent).clamp_min(0) / channels
    if power == 1:
        free = free * channels  # an upper bound for each channel; the projection follows
    pattern = pattern * (free / (budget(pattern) + 1e-12)) ** (1 / power)
    return pattern.addcmul_(delta, 1 - either)


def _spend(x: Points, delta: Points, threat: Threat) -> Points:
    """The point that spends the whole budget in the direction of delta, within the box."""
    if threat.norm == "l1":
        return x + l1_project(x, delta, threat.eps)
    scale = threat.eps * (1 - SLACK) / l2_distance(delta).clamp_min(1e-12)
    return torch.addcmul(x, delta, lift(scale, x)).clamp_(0, 1)


def _tiles(x: Points, key: Int[Tensor, " n"], threat: Threat) -> Points:
    """Five patterns along each side of the image, with a random sign per channel, half of them
    transposed."""
    _, c, h, w = x.shape
    size = max(1, min(h, w) // 5)
    down, across = h // size, w // size
    u = random_streams.uniform(key, c + 1, down, across)
    u = u.repeat_interleave(size, 2).repeat_interleave(size, 3)
    pattern = _patterns.table(threat.norm, (size,), x.device)[:, :size, :size].repeat(
        1, down, across
    )
    covered = torch.where(u[:, c:] > 0.5, pattern[0], pattern[1]) * _signs(u[:, :c])
    top, left = (h - down * size) // 2, (w - across * size) // 2
    return F.pad(covered, (left, w - across * size - left, top, h - down * size - top))


@cache
def _constant(values: tuple[int, ...], device: torch.device) -> Int[Tensor, " k"]:
    return torch.tensor(values, device=device)


def _signs(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return (u - 0.5).sign()


def _corner(u: Float[Tensor, " n"], last: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """An integer from 0 to `last`, both included."""
    return torch.minimum((u * (last + 1)).long(), last)

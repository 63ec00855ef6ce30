"""Teachers whose decision and distance to its boundary are known everywhere, and their data.

A teacher's score is positive for its second class; a temperature turns it into two logits. Data lie
on the first `manifold` coordinates of the space: about the others they are silent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .shapes import Labels, Logits, Points, Values, two_logits

TEMPERATURE = 0.25
NEARER = 0.8
"""Radii are at most this share of the distance to the teacher's boundary."""


class Known(Protocol):
    """A teacher in closed form."""

    def __call__(self, x: Points) -> Logits:
        """Two logits."""

    def distance(self, x: Points) -> Values:
        """The euclidean distance to the boundary, negative for the first class."""

    def propose(self, n: int, manifold: int, generator: torch.Generator) -> Tensor:
        """Points (n, manifold) of the manifold, around the boundary."""


@dataclass(frozen=True)
class Sphere:
    """‖x‖ > 1, in any dimension. The score (‖x‖² − 1) / 2 is one that a quadratic can meet."""

    def __call__(self, x: Points) -> Logits:
        """Two logits."""
        return two_logits((x.square().sum(-1) - 1) / (2 * TEMPERATURE))

    def distance(self, x: Points) -> Values:
        """The signed distance."""
        norm: Tensor = x.norm(dim=-1)
        return norm - 1

    def propose(self, n: int, manifold: int, generator: torch.Generator) -> Tensor:
        """Any direction, with norms uniform from 0.2 to 1.8."""
        drawn = torch.randn(n, manifold, generator=generator)
        norm = 0.2 + 1.6 * torch.rand(n, 1, generator=generator)
        directions: Tensor = drawn / drawn.norm(dim=1, keepdim=True)
        return norm * directions


@dataclass(frozen=True)
class Discs:
    """Inside one of some disjoint discs of the plane."""

    centres: tuple[tuple[float, float], ...] = ((-1.0, 0.0), (1.0, 0.0))
    radius: float = 0.6

    def __call__(self, x: Points) -> Logits:
        """Two logits, whose difference is the distance over the temperature."""
        return two_logits(self.distance(x) / TEMPERATURE)

    def distance(self, x: Points) -> Values:
        """The signed distance: as the discs are disjoint, that to the nearest circle."""
        centres = torch.tensor(self.centres, dtype=x.dtype)
        nearest: Tensor = (x[..., None, :] - centres).norm(dim=-1).amin(-1)
        return self.radius - nearest

    def propose(self, n: int, manifold: int, generator: torch.Generator) -> Tensor:
        """Uniform in a square, or in a line through the centres."""
        return 4 * torch.rand(n, manifold, generator=generator) - 2


@dataclass(frozen=True)
class Support:
    """Of the data: the first `manifold` of d coordinates, at least `gap` from the boundary."""

    d: int
    manifold: int
    gap: float


def sample(
    teacher: Known, seeds: Sequence[int], n: int, support: Support, *, salt: int
) -> tuple[Points, Labels]:
    """For each seed n points (s, n, d), half of each class, and the teacher's labels (s, n)."""
    drawn = [_drawn(teacher, 1000 * seed + salt, n, support) for seed in seeds]
    x = torch.stack(drawn)
    return x, (teacher.distance(x) > 0).long()


def _drawn(teacher: Known, seed: int, n: int, support: Support) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    proposed = torch.zeros(64 * n, support.d)
    proposed[:, : support.manifold] = teacher.propose(64 * n, support.manifold, generator)
    distance = teacher.distance(proposed)
    first = proposed[distance <= -support.gap][: n - n // 2]
    second = proposed[distance >= support.gap][: n // 2]
    x = torch.cat([first, second])
    if len(x) < n:
        raise ValueError(
            f"too few points lie {support.gap} from the boundary; choose a smaller gap"
        )
    return x[torch.randperm(n, generator=generator)]


def radii(teacher: Known, x: Points, eps: float) -> Values:
    """The radius of each point's ball: ε, or `NEARER` of the distance to the boundary
    where that is less. The teacher's answer is constant in that ball."""
    return (NEARER * teacher.distance(x).abs()).clamp_max(eps)

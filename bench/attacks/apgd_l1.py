"""Auto-PGD in ℓ1 (Croce & Hein 2021, "Mind the box: l1-APGD for sparse adversarial attacks").

Sparse projected gradient ascent: the signs of the k largest gradient entries, at ℓ1 norm η, then
the exact projection onto ball ∩ box. k is proportional to the support of the best point. η begins
at ε and decreases; it is reset, and the ascent restarts from the best point, when the support of
that point has decreased by 5 %. The run has phases in balls of decreasing radius, each starting at
the best point of the phase before.

Unlike in the published code, pixels on the bound of the box are not among the k entries, and k is
5 % larger.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.attacks.apgd import remember_best
from bench.attacks.base import Response, Slots
from bench.attacks.objectives import Objective, value
from bench.compute.random_streams import uniform
from bench.threats import Threat
from bench.threats.geometry import Points, l1_project, l1_signs, lift, pick


@dataclass(frozen=True)
class SparseAPGD:
    """One run from a random start, in phases: radii in units of ε, and their shares of `steps`.

    After each share `period` of a phase's steps, k becomes the best point's support divided by
    `denser`, and η is divided by `shrink`, down to `least` times the radius.
    """

    objective: Objective = "ce"
    steps: int = 100
    radii: tuple[float, ...] = (3.0, 2.0, 1.0)
    shares: tuple[float, ...] = (0.3, 0.3, 0.4)
    denser: float = 1.5
    shrink: float = 1.5
    least: float = 0.1
    lost: float = 0.05
    period: float = 0.04
    name: str = "apgd"
    needs_gradient: bool = True

    @property
    def bounded(self) -> bool:
        """False if a phase's ball is larger than the threat's."""
        return max(self.radii) <= 1

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """The objective."""
        return value(self.objective, logits, slots)

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """Gaussian noise, projected: a sparse point of the first phase's ball."""
        noise = torch.erfinv(2 * uniform(slots.key, *slots.x.shape[1:]) - 1) * math.sqrt(2)
        delta = l1_project(slots.x, noise, self.radii[0] * threat.eps)
        point, support = slots.x + delta, _support(delta)
        return slots.next(
            point,
            slots.done,
            best=point,
            best_gradient=torch.zeros_like(point),
            best_loss=torch.full_like(support, -torch.inf),
            best_support=support,
            support=support,
            checked_support=support,
            size=torch.ones_like(support),
        )

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """Update the best point, adapt step size and sparsity, take a step or begin a phase."""
        memory = slots.memory | remember_best(slots, response)
        better = response.loss > slots.memory["best_loss"]
        support = torch.where(better, memory["support"], memory["best_support"])
        now = self._due(slots.t)
        sparser = now & (support < (1 - self.lost) * memory["checked_support"])
        smaller = (memory["size"] / self.shrink).clamp_min(self.least)
        size = torch.where(now, torch.where(sparser, 1.0, smaller), memory["size"])
        checked = torch.where(now, support, memory["checked_support"])

        x = pick(sparser, memory["best"], slots.point)
        gradient = pick(sparser, memory["best_gradient"], response.ascent)
        radius = threat.eps * self._at(slots.t, self.radii)
        direction = l1_signs(gradient, x, checked / self.denser / x[0].numel())
        delta = torch.addcmul(x - slots.x, direction, lift(size * radius, x))
        enters = self._at(slots.t, self._ends()) == slots.t
        delta = pick(enters, memory["best"] - slots.x, delta)
        delta = l1_project(slots.x, delta, threat.eps * self._at(slots.t + 1, self.radii))

        found = _support(delta)
        return slots.next(
            slots.x + delta,
            slots.t >= self._ends()[-1] - 1,
            **memory
            | {
                "best_loss": memory["best_loss"].masked_fill(enters, -torch.inf),
                "best_support": support,
                "support": found,
                "checked_support": torch.where(enters, found, checked),
                "size": size.masked_fill(enters, 1),
            },
        )

    def _lengths(self) -> list[int]:
        """The steps of each phase."""
        lengths = [math.ceil(share * self.steps) for share in self.shares[:-1]]
        return [*lengths, self.steps - sum(lengths)]

    def _ends(self) -> list[int]:
        """Queries up to the end of each phase: one for its start and one per step."""
        return list(accumulate(length + 1 for length in self._lengths()))

    def _at(self, t: Int[Tensor, " n"], values: Sequence[float | int]) -> Float[Tensor, " n"]:
        """Each slot's value, given one value per phase."""
        chosen = torch.full_like(t, values[-1], dtype=torch.float32)
        for end, earlier in reversed(list(zip(self._ends()[:-1], values[:-1], strict=True))):
            chosen = torch.where(t <= end, earlier, chosen)
        return chosen

    def _due(self, t: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Whether step size and sparsity are updated; never at the start of a phase."""
        done = t - 1 - self._at(t, [0, *self._ends()[:-1]])
        period = self._at(t, [max(1, int(self.period * length)) for length in self._lengths()])
        return (done > 0) & (done % period == 0)


def _support(delta: Points) -> Float[Tensor, " n"]:
    """The number of nonzero entries."""
    return torch.ne(delta, 0, out=torch.empty_like(delta)).flatten(1).sum(1)

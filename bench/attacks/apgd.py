"""Auto-PGD in ℓ∞ and ℓ2 (Croce & Hein 2020, "Reliable evaluation …", algorithm 1).

Projected gradient ascent with momentum,

    z = P(x_k + η ∇f(x_k)),    x_{k+1} = P(x_k + α (z − x_k) + (1 − α) (x_k − x_{k−1})),

with a step size η that begins at 2ε. At checkpoints, whose distance decreases, η is halved and the
ascent restarts from the best point if too few steps since the last checkpoint increased the
objective, or if neither the step size nor the best value has changed since. For ℓ1 see apgd_l1.py.

P is the exact projection onto ball ∩ box; the published code clips to the box after rescaling.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.attacks.base import Response, Slots
from bench.attacks.objectives import Objective, value
from bench.compute import random_streams
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, lift, pick


@dataclass(frozen=True)
class APGD:
    """One run of `steps` steps from a random start.

    `rho` is the share of the steps between two checkpoints that must increase the objective. The
    first checkpoint is after a share `first` of all steps; each later period is shorter by the
    share `sooner`, but not shorter than `least`.
    """

    objective: Objective = "ce"
    steps: int = 100
    alpha: float = 0.75
    rho: float = 0.75
    first: float = 0.22
    sooner: float = 0.03
    least: float = 0.06
    name: str = "apgd"
    needs_gradient: bool = True
    bounded: bool = True

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """The objective."""
        return value(self.objective, logits, slots)

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """A random point of the ball."""
        noise = random_streams.uniform(slots.key, *slots.x.shape[1:])
        point = slots.x + GEOMETRY[threat.norm].random(slots.x, noise, threat.eps)
        never = torch.full_like(slots.t, torch.inf, dtype=point.dtype)
        period = torch.full_like(slots.t, self._part(self.first))
        return slots.next(
            point,
            slots.done,
            previous=point,
            best=point,
            best_gradient=torch.zeros_like(point),
            best_loss=-never,
            checked_loss=-never,
            last_loss=never,
            size=torch.full_like(never, 2 * threat.eps),
            rises=torch.zeros_like(slots.t),
            period=period,
            countdown=period + 1,
            kept=torch.zeros_like(slots.done),
        )

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """Update the best point, adapt the step size, take a step."""
        memory = slots.memory | remember_best(slots, response)
        memory["rises"] = memory["rises"] + (response.loss > memory["last_loss"])
        memory["last_loss"] = response.loss
        memory, halved = self._checkpoint(memory)
        x = pick(halved, memory["best"], slots.point)
        gradient = pick(halved, memory["best_gradient"], response.ascent)
        point = self._move(slots, threat, x, gradient, memory["size"])
        return slots.next(point, slots.t >= self.steps, **memory | {"previous": x})

    def _checkpoint(self, memory: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """At a checkpoint, halve the step size if the ascent has slowed down."""
        countdown = memory["countdown"] - 1
        now = countdown == 0
        slow = memory["rises"] <= self.rho * memory["period"]
        stuck = memory["kept"] & (memory["best_loss"] <= memory["checked_loss"])
        halved = now & (slow | stuck)
        period = (memory["period"] - self._part(self.sooner)).clamp_min(self._part(self.least))
        period = torch.where(now, period, memory["period"])
        return memory | {
            "size": torch.where(halved, memory["size"] / 2, memory["size"]),
            "kept": torch.where(now, ~halved, memory["kept"]),
            "checked_loss": torch.where(now, memory["best_loss"], memory["checked_loss"]),
            "rises": memory["rises"].masked_fill(now, 0),
            "period": period,
            "countdown": torch.where(now, period, countdown),
        }, halved

    def _move(
        self, slots: Slots, threat: Threat, x: Tensor, gradient: Tensor, size: Tensor
    ) -> Tensor:
        geometry = GEOMETRY[threat.norm]
        delta = x - slots.x
        direction = geometry.steepest(gradient, x)
        z = torch.addcmul(delta, direction, lift(size, x))
        z = geometry.project(slots.x, z, threat.eps)
        alpha = lift(torch.where(slots.t == 1, 1.0, self.alpha), x)
        moved = torch.lerp(delta, z, alpha)
        moved.addcmul_(x - slots.memory["previous"], 1 - alpha)
        return slots.x + geometry.project(slots.x, moved, threat.eps)

    def _part(self, share: float) -> int:
        return max(1, int(share * self.steps))


def remember_best(slots: Slots, response: Response) -> dict[str, Tensor]:
    """The best point so far with its gradient and loss, updated by the response at this point."""
    memory = slots.memory
    better = response.loss > memory["best_loss"]
    return {
        "best": pick(better, slots.point, memory["best"]),
        "best_gradient": pick(better, response.ascent, memory["best_gradient"]),
        "best_loss": torch.where(better, response.loss, memory["best_loss"]),
    }

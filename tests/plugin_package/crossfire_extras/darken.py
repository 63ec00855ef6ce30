"""An attack that makes the whole image darker, and a suite that does it two times."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.attacks.base import Response, Slots
from bench.evaluation.suites import Stage
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY


@dataclass(frozen=True)
class Darken:
    """Asks once, at the darkest image of the ball."""

    name: str = "darken"
    needs_gradient: bool = False
    bounded: bool = True

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """Nothing is ascended."""
        return logits[:, 0]

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """The darkest image."""
        darker = GEOMETRY[threat.norm].project(slots.x, -slots.x, threat.eps)
        return slots.next(slots.x + darker, slots.done)

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """One question is all."""
        return slots.next(slots.point, torch.ones_like(slots.done))


def darken_twice(norm: str, classes: int) -> tuple[Stage, ...]:
    """The same stage two times."""
    return (Stage(Darken()), Stage(Darken(name="darken-again")))

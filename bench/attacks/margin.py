"""Targeted margin ascent that stops early where the target class is out of reach.

Maximises z_t − z_y (Gowal et al. 2019) by steepest ascent with momentum 0.75 and a step size that
decreases from `first` times the radius to 0 along a cosine. The radius of the ball begins at
(1 + wide) · ε and decreases to ε in the first half of the steps: in a larger ball the ascent can
cross regions without slope (stages of decreasing radius: Croce & Hein 2021; a relaxed ball: Pan et
al. 2025). A slot stops as soon as the linearised margin is negative in the whole current ball:

    margin(x + δ) + slack · max over δ' of ⟨∇, δ' − δ⟩ < 0,

where the maximum, the Frank-Wolfe gap (Jaggi 2013), has a closed form in ball ∩ box. The rule does
not depend on the scale of the logits. A small gap means that the ascent has converged; a large gap
and a margin far below −gap mean that the target class is out of reach. This stopping rule is our
own; docs/explanation/engine.md says what it costs.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench import losses
from bench.attacks.base import Response, Slots
from bench.compute import random_streams
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, lift

MOMENTUM = 0.75


@dataclass(frozen=True)
class MarginPGD:
    """At most `steps` steps. `slack` is the factor by which a margin may rise faster than linearly;
    0 switches early stopping off. The first point is the image plus a share `noise` of a random
    start in the first ball, whose radius is (1 + `wide`) · ε."""

    steps: int = 20
    first: float = 1.0
    slack: float = 1.5
    noise: float = 0.0
    wide: float = 0.0
    targeted: bool = True
    name: str = "margin"
    needs_gradient: bool = True

    @property
    def bounded(self) -> bool:
        """False if the first ball is larger than the threat's."""
        return self.wide == 0

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """z_t − z_y, or its maximum over the wrong classes."""
        if self.targeted:
            return losses.targeted_margin(logits, slots.y, slots.target)
        return losses.margin(logits, slots.y)

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """The image, or a random point around it."""
        point = slots.x
        if self.noise:
            geometry, radius = GEOMETRY[threat.norm], (1 + self.wide) * threat.eps
            u = random_streams.uniform(slots.key, *slots.x.shape[1:])
            delta = geometry.start(u, self.noise * radius)
            point = slots.x + geometry.project(slots.x, delta, radius)
        return slots.next(point, slots.done, velocity=torch.zeros_like(point))

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """x ← P(x + α_t · steepest(∇) + 0.75 · (last move)), or stop early."""
        geometry, gradient = GEOMETRY[threat.norm], response.ascent
        delta = slots.point - slots.x
        progress = (slots.t - 1) / self.steps
        radius = threat.eps * (1 + self.wide * (1 - 2 * progress).clamp_min(0))
        size = self.first * radius * (1 + torch.cos(math.pi * progress)) / 2
        direction = geometry.steepest(gradient, slots.point)
        move = lift(size, delta) * direction + MOMENTUM * slots.memory["velocity"]
        moved = geometry.project(slots.x, delta + move, radius)
        done = slots.t >= self.steps
        if self.slack:
            reach = geometry.gap(slots.x, delta, gradient, radius)
            done |= response.loss + self.slack * reach < 0
        return slots.next(slots.x + moved, done, velocity=moved - delta)

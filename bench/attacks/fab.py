"""Fast adaptive boundary attack, targeted (Croce & Hein 2020, "Minimally distorted adversarial
examples …", algorithm 1; its targeted form is that of AutoAttack).

Searches for the nearest adversarial example, without a ball: each step replaces the boundary with
the target class by its tangent plane π, and the next point lies slightly beyond it,

    x ← (1 − α) (x + η d(x, π)) + α (x_orig + η d(x_orig, π)),

where d(·, π) is the least movement within the box and α pulls towards the image. A point that is
already adversarial first moves back to the image by a share 1 − β of its distance. The gradient and
the prediction at a point come from one query, so that a step costs one query; the published code
queries the model again after the step back, which finds fewer adversarial examples with the same
number of queries (docs/explanation/engine.md).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.attacks._hyperplane import toward
from bench.attacks.base import Response, Slots
from bench.attacks.objectives import value
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, lift, pick


@dataclass(frozen=True)
class FAB:
    """One run of `steps` steps from the image itself; `alpha` is the largest α."""

    steps: int = 100
    alpha: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    name: str = "fab"
    needs_gradient: bool = True
    bounded: bool = False

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """z_t − z_y."""
        return value("targeted-margin", logits, slots)

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """The image."""
        return slots.next(slots.x, slots.done)

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """Step back if the point is adversarial, then across the tangent plane."""
        gradient = response.ascent
        adversarial = response.logits.argmax(1) != slots.y
        away = slots.point - slots.x
        near = pick(adversarial, self.beta * away, away)
        rises = (gradient * away).flatten(1).sum(1)
        loss = response.loss.nan_to_num(0, 0, 0)
        at_image = loss - rises
        at_point = torch.where(adversarial, at_image + self.beta * rises, loss)

        reach, distance = toward(threat.norm, gradient), GEOMETRY[threat.norm].distance
        own = reach(slots.x + near, at_point)
        image = reach(slots.x, at_image)
        near_by, far_off = distance(own), distance(image)
        alpha = (near_by / (near_by + far_off).clamp_min(1e-12)).clamp_max(self.alpha)
        moved = torch.lerp(near.add_(own, alpha=self.eta), image.mul_(self.eta), lift(alpha, near))
        return slots.next((slots.x + moved).clamp_(0, 1), slots.t >= self.steps)

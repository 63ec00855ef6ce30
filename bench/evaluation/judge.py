"""The judge: float32, the model as it was given, and no trust in any attack.

A point counts as an adversarial example only if this file finds it finite, inside the ball
(float64) and the box, and misclassified. Non-finite logits count as misclassified: a model that
answers NaN has not withstood anything.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.compute.precision import exact_float32
from bench.errors import CrossfireError
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, Batch
from bench.types import Model

TOLERANCE = 1e-6
"""Absolute in ℓ∞ and ℓ2, relative in ℓ1: what rounding x + delta to float32 may cost."""


class Violation(CrossfireError):
    """An attack returned a point outside its threat model."""


def allowed(threat: Threat) -> float:
    """The largest distance that is still within the threat, tolerance included."""
    return threat.eps * (1 + TOLERANCE) if threat.norm == "l1" else threat.eps + TOLERANCE


def distances(x: Batch, points: Batch, threat: Threat) -> Float[Tensor, " n"]:
    """‖points − x‖ in the threat's norm, in float64; infinite where a point is not finite or leaves
    the box."""
    delta = points.double() - x.double()
    outside = ~((points >= 0) & (points <= 1)).flatten(1).all(1)
    return GEOMETRY[threat.norm].distance(delta).masked_fill(outside, torch.inf)


@dataclass(frozen=True)
class Judge:
    """Predictions that decide. `limit` is the largest batch; `votes` > 1 takes the majority of a
    random model's."""

    model: Model
    limit: int = 256
    votes: int = 1

    def logits(self, points: Batch) -> Float[Tensor, "n k"]:
        """The model's float32 logits."""
        with exact_float32(), torch.no_grad():
            return torch.cat([self.model(part).float() for part in torch.split(points, self.limit)])

    def wrong(self, points: Batch, y: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Whether the model misclassifies each point, or fails to answer with numbers."""
        ballots = torch.stack([self._ballot(points, y) for _ in range(self.votes)])
        return ballots.sum(0) * 2 > self.votes

    def _ballot(self, points: Batch, y: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        logits = self.logits(points)
        return (logits.argmax(1) != y) | ~logits.isfinite().all(1)

    def adversarial(
        self, x: Batch, points: Batch, y: Int[Tensor, " n"], threat: Threat, *, bounded: bool = True
    ) -> tuple[Bool[Tensor, " n"], Float[Tensor, " n"]]:
        """Which points are adversarial examples of x under the threat, and how far from x they lie
        (float64).

        Raises:
            Violation: a point lies outside although its attack promises that none does (`bounded`).
        """
        far = distances(x, points, threat)
        outside = far > allowed(threat)
        if bounded and bool(outside.any()):
            raise Violation(
                f"the attack left its threat {threat}: distance {float(far.max()):.9g} is more "
                f"than {threat.eps:.9g}, or a pixel is not in [0, 1]; mend the attack"
            )
        broken = ~outside
        if bool(broken.any()):  # points outside cost no prediction
            broken[~outside] = self.wrong(points[~outside], y[~outside])
        return broken, far

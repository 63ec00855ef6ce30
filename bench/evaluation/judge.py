"""The judge: verifies adversarial examples with the original model in float32.

A point counts as an adversarial example only if this module finds it finite, inside the ball
(in float64) and the box, and misclassified. Non-finite logits count as misclassified: a model does
not become robust by returning NaN.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.compute.precision import exact_float32
from bench.errors import CrossfireError
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, Points
from bench.types import Model

TOLERANCE = 1e-6
"""For rounding x + delta to float32; absolute in ℓ∞ and ℓ2, relative in ℓ1."""

POLL = 9
"""Passes whose majority makes a point of a random model a candidate."""
VOTES = 99
"""Fresh passes that decide about a candidate, and about an image of a random model."""
CLEAR = 0.6
"""The share of them that must misclassify a candidate. More than a half: an attack tries so many
points that some have a majority by luck, and it would stop at those before it reached its best."""


class Violation(CrossfireError):
    """An attack returned a point outside its threat model."""


def allowed(threat: Threat) -> float:
    """The largest distance within the threat, tolerance included."""
    return threat.eps * (1 + TOLERANCE) if threat.norm == "l1" else threat.eps + TOLERANCE


def distances(x: Points, points: Points, threat: Threat) -> Float[Tensor, " n"]:
    """‖points − x‖ in the threat's norm, in float64; infinite where a point is not finite or leaves
    the box."""
    delta = points.double() - x.double()
    outside = ~((points >= 0) & (points <= 1)).flatten(1).all(1)
    return GEOMETRY[threat.norm].distance(delta).masked_fill(outside, torch.inf)


@dataclass(frozen=True)
class Judge:
    """Predictions for verdicts. `limit` is the largest batch; with `votes` > 1, for random models,
    the majority of so many predictions decides."""

    model: Model
    limit: int = 256
    votes: int = 1

    def logits(self, points: Points) -> Float[Tensor, "n k"]:
        """The model's float32 logits, also inside an automatic cast to bf16."""
        plain = torch.autocast(points.device.type, enabled=False)
        with plain, exact_float32(), torch.no_grad():
            return torch.cat([self.model(part).float() for part in torch.split(points, self.limit)])

    def wrong(self, points: Points, y: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Whether the model misclassifies each point, or returns non-finite logits."""
        return self.errors(points, y, self.votes) > 0.5

    def errors(self, points: Points, y: Int[Tensor, " n"], passes: int) -> Float[Tensor, " n"]:
        """The share of some passes that misclassify each point, or return non-finite logits."""
        return torch.stack([self._vote(points, y) for _ in range(passes)]).float().mean(0)

    def _vote(self, points: Points, y: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        logits = self.logits(points)
        return (logits.argmax(1) != y) | ~logits.isfinite().all(1)

    def adversarial(
        self,
        x: Points,
        points: Points,
        y: Int[Tensor, " n"],
        threat: Threat,
        *,
        bounded: bool = True,
    ) -> tuple[Bool[Tensor, " n"], Float[Tensor, " n"]]:
        """Which points are adversarial examples of x under the threat, and their distances from x
        (float64).

        Raises:
            Violation: a point of a `bounded` attack lies outside the threat.
        """
        far = distances(x, points, threat)
        outside = far > allowed(threat)
        if bounded and bool(outside.any()):
            raise Violation(
                f"the attack left its threat {threat}: distance {float(far.max()):.9g} is more "
                f"than {threat.eps:.9g}, or a pixel is not in [0, 1]; correct the attack"
            )
        broken = ~outside
        if bool(broken.any()):  # points outside are not classified
            broken[~outside] = self.wrong(points[~outside], y[~outside])
        return broken, far

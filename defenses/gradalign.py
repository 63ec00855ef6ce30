"""FGSM with gradient alignment (Andriushchenko & Flammarion 2020, arXiv:2007.02617).

    CE(f(x + δ), y) + λ (1 − cos(∇ℓ(x), ∇ℓ(x + η))),   η uniform in the ball, ∇ℓ(x) held constant

δ is one step of 1.25 ε from the image, clipped to the ball. The second term keeps the loss surface
flat enough for one step to find the worst case; its gradient is a second derivative.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.threats import Threat
from bench.training import (
    Batch,
    Job,
    Run,
    ascend,
    attacking,
    cross_entropy_of,
    logits_and_gradient,
    random_start,
)
from bench.types import Images, Values


@dataclass(frozen=True)
class GradAlign:
    """Single-step adversarial training with aligned input gradients."""

    weight: float = field(default=0.2, metadata={"help": "Lambda, the weight of misalignment."})
    step_size: float = field(default=1.25, metadata={"help": "Size of the step, in epsilons."})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 30, "lr": 0.3, "clip": 0.0},
            **{"schedule": "cyclic"},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net, threat = job.model(), job.threat
        run = Run(job, self, net)
        for batch in run:
            with attacking(net):
                objective = cross_entropy_of(net, batch.y)
                x_adv = ascend(objective, batch.x, threat, steps=1, step_size=self.step_size)
            run.step(self.loss(net, batch, x_adv, threat))

    def loss(self, net: nn.Module, batch: Batch, x_adv: Images, threat: Threat) -> Tensor:
        """The mean over the batch."""
        apart = misalignment(net, batch, threat)
        mean = apart.sum() / max(1, len(apart))
        return cross_entropy(net(x_adv), batch.y).mean() + self.weight * mean


def misalignment(net: nn.Module, batch: Batch, threat: Threat) -> Values:
    """1 − cosine of the input gradients at the image and at a random point of its ball, without the
    examples that have no gradient at one of them."""
    near = batch.x + random_start(batch, threat)
    _, here = logits_and_gradient(net, batch.x, batch.y, create_graph=False)
    _, there = logits_and_gradient(net, near, batch.y, create_graph=True)
    here, there = here.detach().flatten(1), there.flatten(1)
    directed = here.norm(dim=1).bool() & there.norm(dim=1).bool()
    # The gradient of an image that is classified with certainty is far below the default eps.
    return 1 - F.cosine_similarity(here[directed], there[directed], dim=1, eps=1e-20)

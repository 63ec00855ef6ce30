"""MSD, multi steepest descent (Maini et al. 2020, arXiv:1909.04068).

One perturbation for all threats at once. Each step makes a steepest-ascent candidate for each norm
from the present point, projected onto that norm's own ball, and continues from the candidate with
the largest loss; training uses the point with the largest loss of all steps. The first step starts
at the image.

The authors take 50 steps and train ℓ2 at 0.3 while they test it at 0.5; here training uses the
threats as they are given.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, lift
from bench.training import Batch, Job, Run, attacking, cross_entropy_of, input_gradient
from bench.types import Images, Values


@dataclass(frozen=True)
class MSD:
    """Adversarial training on the worst steepest step of several norms."""

    steps: int = field(default=10, metadata={"help": "Steps; its paper has 50.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "Step size, in epsilons."})

    default_threat: ClassVar[str] = "union"
    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 50, "lr": 0.1, "clip": 0.0},
            **{"schedule": "two-slopes"},
            **{"steps": 50, "step_size": 0.1, "budgets": "maini"},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            x_adv = self.perturb(net, batch, job.threats)
            run.step(cross_entropy(net(x_adv), batch.y).mean())

    def perturb(self, net: nn.Module, batch: Batch, threats: tuple[Threat, ...]) -> Images:
        """The point with the largest cross-entropy on the way."""
        objective = cross_entropy_of(net, batch.y)
        x = worst = batch.x
        worst_loss = torch.full_like(batch.y, -torch.inf, dtype=x.dtype)
        with attacking(net):
            for _ in range(self.steps):
                gradient = input_gradient(objective, x)
                candidates = [self._step(batch.x, x, gradient, threat) for threat in threats]
                with torch.no_grad():
                    losses = torch.stack([objective(candidate) for candidate in candidates])
                loss, chosen = losses.max(0)
                x = torch.stack(candidates)[chosen, torch.arange(len(chosen), device=x.device)]
                worst, worst_loss = keep_worst(worst, worst_loss, x, loss)
        return worst

    def _step(self, image: Images, x: Images, gradient: Tensor, threat: Threat) -> Images:
        geometry = GEOMETRY[threat.norm]
        delta = x - image + self.step_size * threat.eps * geometry.steepest(gradient, x)
        return image + geometry.project(image, delta, threat.eps)


def keep_worst(worst: Images, worst_loss: Values, x: Images, loss: Values) -> tuple[Images, Values]:
    """The points with the larger loss, example by example."""
    worse = loss > worst_loss
    return torch.where(lift(worse, x), x, worst), torch.where(worse, loss, worst_loss)

"""N-FGSM (de Jorge et al. 2022, arXiv:2202.01181): x' = clip(x + η + ε sign ∇CE(x + η)).

η is uniform in the ball of twice the budget, and nothing is clipped to the ball afterwards: more
noise and no clipping are what avoids catastrophic overfitting. Training examples therefore exceed
the budget; evaluation never does. For ℓ2 and ℓ1 noise and step are those of the norm (our own
generalisation).
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from bench.training import Batch, Job, Run, attacking, cross_entropy_of, input_gradient
from bench.types import Images


@dataclass(frozen=True)
class NFGSM:
    """Single-step adversarial training with strong noise and no clipping."""

    noise: float = field(default=2.0, metadata={"help": "Radius of the noise, in epsilons."})
    step_size: float = field(default=1.0, metadata={"help": "Size of the step, in epsilons."})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 30, "lr": 0.2, "clip": 0.0},
            **{"schedule": "triangle"},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            x_adv = self.perturb(net, batch, job.threat)
            run.step(cross_entropy(net(x_adv), batch.y).mean())

    def perturb(self, net: nn.Module, batch: Batch, threat: Threat) -> Images:
        """Noise and one step, within the box alone."""
        geometry = GEOMETRY[threat.norm]
        noise = geometry.start(batch.uniform("noise"), self.noise * threat.eps)
        noisy = (batch.x + noise).clamp(0, 1)
        with attacking(net):
            gradient = input_gradient(cross_entropy_of(net, batch.y), noisy)
        step: Tensor = self.step_size * threat.eps * geometry.steepest(gradient, noisy)
        return torch.clamp(noisy + step, 0, 1)

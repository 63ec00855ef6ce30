"""FGSM with a random start (Wong et al. 2020, "Fast is better than free", arXiv:2001.03994).

One step of 1.25 ε from a uniform start, clipped to the ball. Cheap, and prone to catastrophic
overfitting: PGD accuracy may fall to nothing within an epoch while single-step accuracy rises.
The log reports it; the checkpoint `best` is of an epoch before. For ℓ2 and ℓ1 the step is the
norm's steepest one, which is our own generalisation.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from bench.losses import cross_entropy
from bench.training import Job, Run, adversarial


@dataclass(frozen=True)
class FGSMRS:
    """Adversarial training with a single step from a random start."""

    step_size: float = field(default=1.25, metadata={"help": "Size of the step, in epsilons."})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 15, "lr": 0.2, "clip": 0.0},
            **{"schedule": "triangle"},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            x_adv = adversarial(net, batch, job.threat, steps=1, step_size=self.step_size)
            run.step(cross_entropy(net(x_adv), batch.y).mean())

"""SAT, stochastic adversarial training (Madaan et al. 2021, arXiv:2006.12135).

One threat for each batch, drawn uniformly. Without their noise generator, as in their ablation.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from bench.losses import cross_entropy
from bench.training import Job, Run, adversarial


@dataclass(frozen=True)
class SAT:
    """Adversarial training on one of several threats at a time, at random."""

    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    default_threat: ClassVar[str] = "union"

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            threat = job.threats[batch.draw(*(1.0 for _ in job.threats))]
            x_adv = adversarial(net, batch, threat, steps=self.steps, step_size=self.step_size)
            run.step(cross_entropy(net(x_adv), batch.y).mean())

"""AVG (Tramèr & Boneh 2019, arXiv:1904.13000): the mean over the threats of each one's worst case.

All threats enter one update, as in Madaan et al.'s code; other implementations make one update
for each threat in turn.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from bench.losses import cross_entropy
from bench.training import Job, Run, adversarial_each


@dataclass(frozen=True)
class AVG:
    """Adversarial training on the average of several threats."""

    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    default_threat: ClassVar[str] = "union"

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            attacked = [(net, threat) for threat in job.threats]
            examples = adversarial_each(attacked, batch, steps=self.steps, step_size=self.step_size)
            labels = batch.y.repeat(len(examples))
            run.step(cross_entropy(net(torch.cat(examples)), labels).mean())

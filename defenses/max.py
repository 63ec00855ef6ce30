"""MAX (Tramèr & Boneh 2019, arXiv:1904.13000): the worst threat of each example."""

from dataclasses import dataclass, field
from typing import ClassVar

from bench.losses import cross_entropy
from bench.training import Job, Run, adversarial_each, hardest


@dataclass(frozen=True)
class MAX:
    """Adversarial training on the strongest of several threats, example by example."""

    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    default_threat: ClassVar[str] = "union"

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            attacked = [(net, threat) for threat in job.threats]
            candidates = adversarial_each(
                attacked, batch, steps=self.steps, step_size=self.step_size
            )
            x_adv = hardest(net, batch, candidates)
            run.step(cross_entropy(net(x_adv), batch.y).mean())

"""Standard training without adversary: the baseline of every defense."""

from dataclasses import dataclass

from bench.losses import cross_entropy
from bench.training import Job, Run


@dataclass(frozen=True)
class Undefended:
    """Empirical risk minimisation on clean images, selected by clean accuracy."""

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net, select="clean")
        for batch in run:
            run.step(cross_entropy(net(batch.x), batch.y).mean())

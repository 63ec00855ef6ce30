"""A defense: standard training on images that are partly blank."""

from dataclasses import dataclass, field

from bench.losses import cross_entropy
from bench.training import Job, Run


@dataclass(frozen=True)
class Blank:
    """Standard training on images whose upper rows are blank."""

    rows: int = field(default=1, metadata={"help": "Rows that are blank."})

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            x = batch.x.clone()
            x[:, :, : self.rows] = 0
            run.step(cross_entropy(net(x), batch.y).mean())

"""The training tools for defenses. A defense is a loop over batches, written like its paper:

    def fit(self, job: Job) -> None:
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            x_adv = adversarial(net, batch, job.threat)
            run.step(cross_entropy(net(x_adv), batch.y).mean())

The job builds networks and optimisers. The run yields batches, sets the learning rate, counts
passes, averages weights, selects on the held-out split, saves checkpoints and a log, and resumes
after a kill. All randomness follows from (seed, epoch, step).
"""

from bench.losses import input_gradient
from bench.models.modes import evaluating
from bench.training.awp import awp_step, weights_perturbed
from bench.training.batches import Batch
from bench.training.config import settings_of
from bench.training.inner import (
    adversarial,
    adversarial_each,
    adversarial_kl,
    ascend,
    cross_entropy_of,
    hardest,
    logits_and_gradient,
    random_start,
    small_start,
)
from bench.training.job import Job
from bench.training.nets import Net, attacking
from bench.training.ranges import check_ranges, check_used
from bench.training.run import Run
from bench.training.start import default_folder, recipes, summary, threats_of
from bench.training.state import Stateful

__all__ = [
    "Batch",
    "Job",
    "Net",
    "Run",
    "Stateful",
    "adversarial",
    "adversarial_each",
    "adversarial_kl",
    "ascend",
    "attacking",
    "awp_step",
    "check_ranges",
    "check_used",
    "cross_entropy_of",
    "default_folder",
    "evaluating",
    "hardest",
    "input_gradient",
    "logits_and_gradient",
    "random_start",
    "recipes",
    "settings_of",
    "small_start",
    "summary",
    "threats_of",
    "weights_perturbed",
]

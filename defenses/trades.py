"""TRADES (Zhang et al. 2019, arXiv:1901.08573): CE(f(x), y) + β max_δ KL(f(x) ‖ f(x + δ)).

The divergence is raised from x + 0.001 N(0, 1), the network in eval mode, by steps of 0.007 at
ε = 0.031. With adversarial weight perturbation it is TRADES-AWP (Wu et al. 2020), whose
perturbation begins after `awp_warmup` epochs. The authors train within ε = 0.031, the recipe within
that of the data's budget set.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.errors import CrossfireError
from bench.losses import cross_entropy, kl
from bench.training import Batch, Job, Run, adversarial_kl, awp_step, evaluating
from bench.types import Images


@dataclass(frozen=True)
class TRADES:
    """Cross-entropy on clean images, and predictions that are stable within the ball."""

    beta: float = field(default=6.0, metadata={"help": "Weight of the divergence."})
    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.225, metadata={"help": "PGD step size, in epsilons."})
    awp: float = field(default=0.0, metadata={"help": "Gamma of AWP; its paper has 0.005."})
    awp_warmup: int = field(default=0, metadata={"help": "Epochs without AWP.", "warm_up": True})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "wrn-34-10", "epochs": 76, "lr": 0.1, "weight_decay": 2e-4},
            **{"schedule": "steps", "drops": (74.0,), "clip": 0.0},
        },
        "awp": {
            **{"arch": "wrn-34-10", "epochs": 200, "lr": 0.1, "awp": 0.005, "awp_warmup": 9},
            **{"schedule": "steps", "drops": (99.0, 149.0), "clip": 0.0, "step_size": 0.25},
        },
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last.

        Raises:
            CrossfireError: AWP would not begin.
        """
        if self.awp and self.awp_warmup >= job.epochs:
            raise CrossfireError(
                f"AWP would begin after {self.awp_warmup} of {job.epochs} epochs; lower "
                "--awp-warmup, or raise --epochs"
            )
        net, threat = job.model(), job.threat
        run = Run(job, self, net)
        for batch in run:
            with evaluating(net), torch.no_grad():
                clean = net(batch.x)
            x_adv = adversarial_kl(
                net, batch, threat, clean, steps=self.steps, step_size=self.step_size
            )
            gamma = self.awp if batch.epoch >= self.awp_warmup else 0.0
            awp_step(run, net, partial(self.loss, net, batch, x_adv), gamma)

    def loss(self, net: nn.Module, batch: Batch, x_adv: Images) -> Tensor:
        """The mean over the batch; both terms have gradients through f(x) (equation 5)."""
        clean = net(batch.x)
        return (cross_entropy(clean, batch.y) + self.beta * kl(clean, net(x_adv))).mean()

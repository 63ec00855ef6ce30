"""Adversarial training (Madry et al. 2018, arXiv:1706.06083): min_θ E max_δ CE(f_θ(x + δ), y).

δ is made by projected gradient descent from a random start, the network in eval mode (Pang et al.
2021). With adversarial weight perturbation it is AT-AWP (Wu et al. 2020, arXiv:2004.05884).
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.training import Batch, Job, Run, adversarial, awp_step
from bench.types import Images


@dataclass(frozen=True)
class AT:
    """Adversarial training against one threat."""

    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})
    awp: float = field(default=0.0, metadata={"help": "Gamma of AWP; its paper has 0.01."})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        # Rice et al. 2020 (arXiv:2002.11569), whose early stopping is our selection of `best`.
        "paper": {
            **{"arch": "preactresnet18", "epochs": 200, "lr": 0.1, "clip": 0.0},
            **{"schedule": "steps", "drops": (100.0, 150.0)},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            x_adv = adversarial(net, batch, job.threat, steps=self.steps, step_size=self.step_size)
            awp_step(run, net, partial(self.loss, net, batch, x_adv), self.awp)

    def loss(self, net: nn.Module, batch: Batch, x_adv: Images) -> Tensor:
        """The mean cross-entropy at the adversarial examples."""
        return cross_entropy(net(x_adv), batch.y).mean()

"""MART, misclassification aware adversarial training (Wang et al., ICLR 2020).

    BCE(f(x'), y) + λ KL(f(x) ‖ f(x')) (1 − p_y(x)),
    BCE = −log p_y(x') − log(1 − max_{k≠y} p_k(x')),   x' by PGD on the cross-entropy

so that examples which are misclassified without attack have larger weights. The constants
1.0001 and 1e-12 keep the logarithms finite, as in the authors' code, which trains within ε = 0.031;
the recipe trains within that of the data's budget set.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.training import Batch, Job, Run, adversarial, awp_step, small_start
from bench.types import Images, Labels, Logits, Values


@dataclass(frozen=True)
class MART:
    """Adversarial training with larger weights on misclassified examples."""

    beta: float = field(default=5.0, metadata={"help": "Weight of the divergence."})
    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.225, metadata={"help": "PGD step size, in epsilons."})
    awp: float = field(default=0.0, metadata={"help": "Gamma of AWP; its paper has 0.005."})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 120, "lr": 0.01, "weight_decay": 3.5e-3},
            **{"schedule": "steps", "drops": (74.0, 89.0, 99.0), "clip": 0.0},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net, threat = job.model(), job.threat
        run = Run(job, self, net)
        for batch in run:
            start = small_start(batch, threat)
            x_adv = adversarial(
                net, batch, threat, steps=self.steps, step_size=self.step_size, start=start
            )
            awp_step(run, net, partial(self.loss, net, batch, x_adv), self.awp)

    def loss(self, net: nn.Module, batch: Batch, x_adv: Images) -> Tensor:
        """The mean over the batch."""
        return mart_loss(net(batch.x), net(x_adv), batch.y, self.beta).mean()


def mart_loss(clean: Logits, adversarial: Logits, y: Labels, beta: float) -> Values:
    """Boosted cross-entropy plus the weighted divergence, one value an example."""
    p, q = clean.softmax(1), adversarial.softmax(1)
    wrong = q.scatter(1, y[:, None], 0.0).amax(1)
    boosted = cross_entropy(adversarial, y) - torch.log(1.0001 - wrong + 1e-12)
    divergence = (p * (torch.log(p + 1e-12) - torch.log(q + 1e-12))).sum(1)
    uncertainty = 1.0000001 - p.gather(1, y[:, None]).squeeze(1)
    return boosted + beta * divergence * uncertainty

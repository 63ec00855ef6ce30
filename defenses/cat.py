"""CAT, collaborative adversarial training (Liu et al. 2023, arXiv:2303.14922).

Two networks of one architecture are trained with different losses, and teach each other:

    L1 = CE(f1(x), y) + 6 KL(f1(x) ‖ f1(x1'))                     x1' raises KL, as in TRADES
    L2 = ½ (CE(f2(x2'), y) + CE(f2(x), y)) + ‖f2(x2') − f2(x)‖²/K  x2' by PGD on CE, as in ALP
    L  = (1 − α)(L1 + L2) + α (KL(f2(x1') ‖ f1(x1')) + KL(f1(x2') ‖ f2(x2')))

with K classes, and the peer's prediction held constant. The published defense closest to `mat`. The
TRADES network is the checkpoint, the other one is saved in the sub-folder `peer`, both of the epoch
that is best for the first; the authors keep each network's own best epoch.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.losses import cross_entropy, kl
from bench.training import Batch, Job, Run, adversarial, adversarial_kl, evaluating
from bench.types import Images


@dataclass(frozen=True)
class CAT:
    """A TRADES network and an ALP network that teach each other."""

    alpha: float = field(
        default=0.95, metadata={"help": "Weight of the peer's predictions.", "most": 1}
    )
    beta: float = field(default=6.0, metadata={"help": "Weight of TRADES's divergence."})
    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 200, "lr": 0.1, "clip": 0.0},
            **{"schedule": "steps", "drops": (99.0, 149.0)},
        }
    }

    def fit(self, job: Job) -> None:
        """Train both, and save the checkpoints best and last."""
        one, two, threat = job.model(), job.model("peer"), job.threat
        run = Run(job, self, one, companions={"peer": two})
        for batch in run:
            with evaluating(one), torch.no_grad():
                clean = one(batch.x)
            x1 = adversarial_kl(
                one, batch, threat, clean, steps=self.steps, step_size=self.step_size
            )
            x2 = adversarial(two, batch, threat, steps=self.steps, step_size=self.step_size)
            run.step(self.loss(one, two, batch, x1, x2))

    def loss(self, one: nn.Module, two: nn.Module, batch: Batch, x1: Images, x2: Images) -> Tensor:
        """The joint loss; neither network has a gradient through the other's predictions."""
        one_x, one_x1, one_x2 = one(batch.x), one(x1), one(x2)
        two_x, two_x1, two_x2 = two(batch.x), two(x1), two(x2)
        trades = cross_entropy(one_x, batch.y) + self.beta * kl(one_x, one_x1)
        pairing = (cross_entropy(two_x2, batch.y) + cross_entropy(two_x, batch.y)) / 2
        pairing = pairing + (two_x2 - two_x).square().mean(1)
        mutual = kl(two_x1.detach(), one_x1) + kl(one_x2.detach(), two_x2)
        joint: Tensor = (1 - self.alpha) * (trades + pairing) + self.alpha * mutual
        return joint.mean()

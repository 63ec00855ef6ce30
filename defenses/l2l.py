"""L2L, learning to defend by learning to attack (Jiang et al. 2021, arXiv:1811.01213).

The inner maximisation is a network: the attacker A reads the image and the classifier's input
gradient there, g = ∇_x CE(f(x), y) / max |g| over the batch, and writes a perturbation. Every batch
the classifier makes one SGD step on CE(f(x'), y), then the attacker one Adam step on −CE(f(x'), y)
against the classifier as it now is.

    naive        x' = x + A(x)
    grad         x' = x + A(x, g(x))
    two-step     x1 = x + A(x, g(x)),  x' = x + P(A(x, g(x)) + A(x1, g(x1)))
    multi-step   x ← x + 0.226 A(x, g(x)), k times, then P

P keeps the perturbation in the ball, and every image is clipped to the box. As in the authors'
code, the gradient is taken in train mode when the classifier learns, in eval mode when the attacker
does. What the paper defines for ℓ∞ is carried over to ℓ2 and ℓ1 by us. The learned attacker is kept
beside the checkpoint, in `attacker`.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.models.attackers import Kind, build_attacker, perturbation, shrink
from bench.threats import Threat
from bench.training import Batch, Job, Net, attacking, cross_entropy_of, evaluating, input_gradient
from bench.types import Images, Labels

Variant = Literal["naive", "grad", "two-step", "multi-step"]
STRIDE = 0.007 / 0.031
"""Share of the attacker's perturbation that one of many steps takes."""


@dataclass(frozen=True)
class L2L:
    """A classifier trained against a learned attacker."""

    variant: Variant = field(
        default="grad", metadata={"help": "What the attacker sees, how often."}
    )
    attacker: Kind = field(default="wide", metadata={"help": "Architecture of the attacker."})
    width: int = field(
        default=0, metadata={"help": "Its first channels; 0 is 64, or 16 under 28 pixels."}
    )
    attacker_lr: float = field(default=1e-3, metadata={"help": "Learning rate of its Adam."})
    attacker_decay: float = field(default=2e-4, metadata={"help": "Weight decay of its Adam."})
    steps: int = field(default=7, metadata={"help": "Steps of the multi-step variant."})

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "wrn-34-10", "epochs": 76, "lr": 0.1, "weight_decay": 2e-4, "width": 64},
            **{"schedule": "steps", "drops": (30.0, 60.0), "threat": "linf:0.031"},
        }
    }

    def fit(self, job: Job) -> None:
        """Train both, and leave the checkpoints best and last of each."""
        net, attacker, threat = job.model(), self.build(job), job.threat
        adam = torch.optim.Adam(
            attacker.parameters(), self.attacker_lr, weight_decay=self.attacker_decay
        )
        run = job.run(
            self,
            net,
            companions={"attacker": attacker},
            optimizer=job.sgd(net),
            state={"adam": adam},
        )
        for batch in run:
            with evaluating(attacker), torch.no_grad():
                x_adv = self.perturb(attacker, net, batch, threat)
            run.step(cross_entropy(net(x_adv), batch.y).mean())
            with attacking(net):
                x_adv = self.perturb(attacker, net, batch, threat)
                run.step(-cross_entropy(net(x_adv), batch.y).mean(), adam)

    def build(self, job: Job) -> Net:
        """A fresh attacker; its weights follow from the job's seed."""
        data, seeing = job.data, 1 if self.variant == "naive" else 2
        width = self.width or (64 if min(data.size) >= 28 else 16)
        with torch.random.fork_rng():
            torch.manual_seed(job.seed)
            body = build_attacker(
                self.attacker, inputs=seeing * data.channels, channels=data.channels, width=width
            )
        return job.place(body, "attacker", f"l2l:{self.variant}/{self.attacker}/{width}")

    def perturb(self, attacker: nn.Module, net: nn.Module, batch: Batch, threat: Threat) -> Images:
        """x', with gradients to the attacker's weights where they are wanted."""
        x, y = batch.x, batch.y
        if self.variant == "naive":
            return (x + perturbation(attacker(x), threat)).clamp(0, 1)
        if self.variant == "multi-step":
            point = x
            for _ in range(self.steps):
                seen = sight(net, point.detach(), y)
                point = (point + STRIDE * perturbation(attacker(seen), threat)).clamp(0, 1)
            return (x + shrink(point - x, threat)).clamp(0, 1)
        first = perturbation(attacker(sight(net, x, y)), threat)
        if self.variant == "grad":
            return (x + first).clamp(0, 1)
        second = perturbation(attacker(sight(net, (x + first).clamp(0, 1), y)), threat)
        return (x + shrink(first + second, threat)).clamp(0, 1)


def sight(net: nn.Module, x: Images, y: Labels) -> Float[Tensor, "n d h w"]:
    """The image and, as constants, its input gradients over the largest one of the batch."""
    gradient = input_gradient(cross_entropy_of(net, y), x)
    return torch.cat([x, gradient / gradient.abs().amax().clamp_min(1e-12)], 1)

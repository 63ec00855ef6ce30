"""L2L, learning to defend by learning to attack (Jiang et al. 2021, arXiv:1811.01213).

The inner maximisation is a network: the attacker A maps the image and the classifier's input
gradient, g = ∇_x CE(f(x), y) / max |g| over the batch, to a perturbation. On every batch the
classifier makes one SGD step on CE(f(x'), y), then the attacker one Adam step on −CE(f(x'), y)
against the updated classifier.

    naive        x' = x + A(x)
    grad         x' = x + A(x, g(x))
    two-step     x1 = x + A(x, g(x)),  x' = x + P(A(x, g(x)) + A(x1, g(x1)))
    multi-step   x ← x + 0.226 A(x, g(x)), k times, then P

P keeps the perturbation in the ball, and every image is clipped to the box. As in the authors'
code, the gradient is taken in train mode when the classifier learns, in eval mode when the attacker
does. The generalisation from ℓ∞ to ℓ2 and ℓ1 is ours, and so is the option `normalise`: dividing by
the largest |g| of the batch makes all but a few gradients small, dividing by that of each example
does not. The attacker's checkpoint is in the sub-folder `attacker`. The log holds the accuracy on
held-out images under the attacker (`attacker`) and its loss relative to PGD-10's (`attacker_loss`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.models.attackers import STRIDE, Kind, build_attacker, perturbation, shrink
from bench.threats import Threat
from bench.training import Job, Net, Run, attacking, cross_entropy_of, evaluating, input_gradient
from bench.types import Images, Labels

Variant = Literal["naive", "grad", "two-step", "multi-step"]
Per = Literal["batch", "example"]
WIDTH = 16
"""Channels of the attacker's first layer: with 64, a pass costs as much as fifty of a small
classifier."""


@dataclass(frozen=True)
class L2L:
    """A classifier trained against a learned attacker."""

    variant: Variant = field(default="grad", metadata={"help": "Input and steps of the attacker."})
    attacker: Kind = field(default="wide", metadata={"help": "Architecture of the attacker."})
    width: int = field(
        default=0, metadata={"help": "Channels of its first layer; 0 is 16, the paper has 64."}
    )
    attacker_lr: float = field(default=1e-3, metadata={"help": "Learning rate of its Adam."})
    attacker_decay: float = field(default=2e-4, metadata={"help": "Weight decay of its Adam."})
    attacker_steps: int = field(
        default=1, metadata={"help": "Updates of the attacker a batch.", "least": 1}
    )
    normalise: Per = field(
        default="batch",
        metadata={
            "help": "Divide input gradients by the largest of the batch or of the example.",
            "variants": ("grad", "two-step", "multi-step"),
        },
    )
    steps: int = field(
        default=7,
        metadata={
            "help": "Steps of the multi-step variant.",
            "least": 1,
            "variants": ("multi-step",),
        },
    )

    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "wrn-34-10", "epochs": 76, "lr": 0.1, "weight_decay": 2e-4, "width": 64},
            **{"schedule": "steps", "drops": (29.0, 59.0), "threat": "linf:0.031", "clip": 0.0},
            **{"normalise": "batch", "attacker_steps": 1},
        }
    }

    def fit(self, job: Job) -> None:
        """Train both, and save the checkpoints best and last of each."""
        net, attacker, threat = job.model(), self.build(job), job.threat
        adam = torch.optim.Adam(
            attacker.parameters(), self.attacker_lr, weight_decay=self.attacker_decay
        )
        run = Run(
            job,
            self,
            net,
            companions={"attacker": attacker},
            optimizer=job.sgd(net),
            state={"adam": adam},
            measure=partial(self.measure, attacker.uncounted(), threat),
        )
        for batch in run:
            with evaluating(attacker), torch.no_grad():
                x_adv = self.perturb(attacker, net, batch.x, batch.y, threat)
            run.step(cross_entropy(net(x_adv), batch.y).mean())
            with attacking(net):
                first = self.first_inputs(net, batch.x, batch.y)
                for _ in range(self.attacker_steps):
                    x_adv = self.perturb(attacker, net, batch.x, batch.y, threat, first)
                    run.step(-cross_entropy(net(x_adv), batch.y).mean(), adam)

    def build(self, job: Job) -> Net:
        """A fresh attacker; its weights follow from the job's seed."""
        data, inputs = job.data, 1 if self.variant == "naive" else 2
        width = self.width or WIDTH
        with torch.random.fork_rng():
            torch.manual_seed(job.seed)
            body = build_attacker(
                self.attacker, inputs=inputs * data.channels, channels=data.channels, width=width
            )
        return job.place(body, "attacker", f"l2l:{self.variant}/{self.attacker}/{width}")

    @torch.no_grad()
    def measure(
        self, attacker: Net, threat: Threat, net: Net, y: Labels, images: Mapping[str, Images]
    ) -> dict[str, float]:
        """Accuracy at the attacker's examples, and their loss divided by that at PGD-10's."""
        with evaluating(attacker):
            x_adv = self.perturb(attacker, net, images["clean"], y, threat)
        logits, at_pgd = net.body(x_adv), net.body(images[str(threat)])
        share = cross_entropy(logits, y).mean() / cross_entropy(at_pgd, y).mean().clamp_min(1e-12)
        right = (logits.argmax(1) == y).float().mean()
        return {"attacker": right.item(), "attacker_loss": share.item()}

    def first_inputs(self, net: nn.Module, x: Images, y: Labels) -> Float[Tensor, "n d h w"]:
        """What the attacker reads first; it does not depend on the attacker's weights."""
        return x if self.variant == "naive" else attacker_input(net, x, y, self.normalise)

    def perturb(
        self,
        attacker: nn.Module,
        net: nn.Module,
        x: Images,
        y: Labels,
        threat: Threat,
        first: Float[Tensor, "n d h w"] | None = None,
    ) -> Images:
        """x', differentiable in the attacker's weights; `first` are its first inputs, if known."""
        inputs = self.first_inputs(net, x, y) if first is None else first
        if self.variant == "multi-step":
            point = x
            for step in range(self.steps):
                if step:
                    inputs = attacker_input(net, point.detach(), y, self.normalise)
                point = (point + STRIDE * perturbation(attacker(inputs), threat)).clamp(0, 1)
            return (x + shrink(point - x, threat)).clamp(0, 1)
        delta = perturbation(attacker(inputs), threat)
        if self.variant in ("naive", "grad"):
            return (x + delta).clamp(0, 1)
        inputs = attacker_input(net, (x + delta).clamp(0, 1), y, self.normalise)
        second = perturbation(attacker(inputs), threat)
        return (x + shrink(delta + second, threat)).clamp(0, 1)


def attacker_input(
    net: nn.Module, x: Images, y: Labels, per: Per = "batch"
) -> Float[Tensor, "n d h w"]:
    """The image and its input gradient as constants, divided by the largest of `per`."""
    gradient = input_gradient(cross_entropy_of(net, y), x)
    largest = gradient.abs().amax((1, 2, 3) if per == "example" else (0, 1, 2, 3), keepdim=True)
    return torch.cat([x, gradient / largest.clamp_min(1e-12)], 1)

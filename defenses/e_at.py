"""E-AT, extreme norms adversarial training (Croce & Hein 2022, arXiv:2105.12508).

Robustness to ℓ∞ and to ℓ1 carries over to the norms between them, so each batch is attacked in one
of these two, with probability proportional to the share of training examples it has broken so far.
As in the authors' code an example is broken if the network in eval mode is wrong at any point of
the attack, the image included, and training uses the point with the largest loss. They attack with
APGD-10 from the image; this is PGD-10 from the image, so figures may differ from theirs. Batch-norm
weights and biases are trained like all others (in their code at a rate of 1 throughout, and without
decay), and the recipe's network has ReLU where theirs has softplus.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.threats import Threat
from bench.training import Job, Run, ascend, attacking
from bench.types import Images, Labels, Values
from defenses.msd import keep_worst


@dataclass(frozen=True)
class EAT:
    """Adversarial training on the extreme norms, the weaker one more often."""

    steps: int = field(default=10, metadata={"help": "PGD steps.", "least": 1})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    default_threat: ClassVar[str] = "union"
    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 80, "lr": 0.05, "clip": 0.0},
            **{"schedule": "steps", "drops": (70.0,)},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and save the checkpoints best and last."""
        net, threats = job.model(), extremes(job.threats)
        tally = Tally(len(threats)).to(job.fabric.device)
        run = Run(job, self, net, state={"tally": tally})
        for batch in run:
            number = batch.draw(*tally.errors())
            tracker = WorstPoint(net, batch.x, batch.y)
            with attacking(net):
                threat, steps, size = threats[number], self.steps, self.step_size
                last = ascend(tracker, batch.x, threat, steps=steps, step_size=size)
                with torch.no_grad():
                    tracker(last)
            run.step(cross_entropy(net(tracker.worst), batch.y).mean())
            tally.add(number, tracker.right)
            run.share([tally.seen, tally.right])


def extremes(threats: tuple[Threat, ...]) -> tuple[Threat, ...]:
    """The threats in ℓ∞ and ℓ1, or all of them unless both are there; those in ℓ∞ come first,
    whatever the order in which the user names them."""
    chosen = [threat for threat in threats if threat.norm in ("linf", "l1")]
    both = len({threat.norm for threat in chosen}) == 2
    return tuple(sorted(chosen if both else threats, key=lambda threat: threat.norm != "linf"))


class WorstPoint:
    """The cross-entropy of `net`, which also tracks the examples that were `right` at every point,
    and the `worst` point of each, where the loss was largest."""

    def __init__(self, net: nn.Module, x: Images, y: Labels) -> None:
        self.net, self.worst, self.y = net, x, y
        self.right: Bool[Tensor, " n"] = torch.ones_like(y, dtype=torch.bool)
        self._loss: Values = torch.full_like(y, -torch.inf, dtype=x.dtype)

    def __call__(self, x: Images) -> Values:
        """One value for each example."""
        logits = self.net(x)
        loss: Values = cross_entropy(logits, self.y)
        self.right &= logits.argmax(1) == self.y
        self.worst, self._loss = keep_worst(self.worst, self._loss, x.detach(), loss.detach())
        return loss


class Tally(nn.Module):
    """The number of attacked training examples under each threat, and of correct ones."""

    seen: Tensor
    right: Tensor

    def __init__(self, threats: int) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(threats, dtype=torch.float64))
        self.register_buffer("right", torch.zeros(threats, dtype=torch.float64))

    def add(self, number: int, right: Bool[Tensor, " n"]) -> None:
        """Count a batch under threat `number`; `right` marks the examples that stayed correct."""
        self.seen[number] += len(right)
        self.right[number] += right.sum()

    def errors(self) -> tuple[float, ...]:
        """The share of examples that each threat has broken; equal shares until all were used."""
        if not bool(self.seen.all()):
            return (1.0,) * len(self.seen)
        errors: list[float] = (1 - self.right / self.seen).tolist()
        return tuple(errors) if sum(errors) else (1.0,) * len(errors)

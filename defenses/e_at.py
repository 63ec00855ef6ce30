"""E-AT, extreme norms adversarial training (Croce & Hein 2022, arXiv:2105.12508).

Robustness to ℓ∞ and to ℓ1 carries over to the norms between them, so each batch meets one of these
two, in proportion to the share of training examples that it has fooled so far. The authors attack
with APGD-10 from the image; this is PGD-10 from the image, so figures may differ from theirs.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.threats import Threat
from bench.training import Batch, Job, adversarial
from bench.types import Logits


@dataclass(frozen=True)
class EAT:
    """Adversarial training on the extreme norms, the weaker one more often."""

    steps: int = field(default=10, metadata={"help": "PGD steps."})
    step_size: float = field(default=0.25, metadata={"help": "PGD step size, in epsilons."})

    default_threat: ClassVar[str] = "union"
    recipes: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            **{"arch": "preactresnet18", "epochs": 80, "lr": 0.05},
            **{"schedule": "steps", "drops": (70.0,)},
        }
    }

    def fit(self, job: Job) -> None:
        """Train, and leave the checkpoints best and last."""
        net, threats = job.model(), extremes(job.threats)
        tally = Tally(len(threats)).to(job.fabric.device)
        run = job.run(self, net, state={"tally": tally})
        for batch in run:
            number = batch.draw(*tally.errors())
            start = torch.zeros_like(batch.x)
            x_adv = adversarial(
                net,
                batch,
                threats[number],
                steps=self.steps,
                step_size=self.step_size,
                start=start,
            )
            logits = net(x_adv)
            run.step(cross_entropy(logits, batch.y).mean())
            tally.add(number, logits, batch)
            run.share([tally.seen, tally.right])


def extremes(threats: tuple[Threat, ...]) -> tuple[Threat, ...]:
    """The threats in ℓ∞ and ℓ1; all of them unless both are there."""
    chosen = tuple(threat for threat in threats if threat.norm in ("linf", "l1"))
    return chosen if len({threat.norm for threat in chosen}) == 2 else threats


class Tally(nn.Module):
    """How many training examples each threat has met, and how many stayed right."""

    seen: Tensor
    right: Tensor

    def __init__(self, threats: int) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(threats, dtype=torch.float64))
        self.register_buffer("right", torch.zeros(threats, dtype=torch.float64))

    def add(self, number: int, logits: Logits, batch: Batch) -> None:
        """Count a batch under threat `number`."""
        self.seen[number] += len(batch.y)
        self.right[number] += (logits.argmax(1) == batch.y).sum()

    def errors(self) -> tuple[float, ...]:
        """The share that each threat has fooled; equal ones until all have been seen."""
        if not bool(self.seen.all()):
            return (1.0,) * len(self.seen)
        errors: list[float] = (1 - self.right / self.seen).tolist()
        return tuple(errors) if sum(errors) else (1.0,) * len(errors)

"""Gradient masking, planted in a sound model: does `crossfire` notice, and does it end where the
reference does?

    python benchmarks/masking.py CHECKPOINT --dataset digits --threat linf --examples 100

One row a disguise: robust accuracy by PGD-100, by pyautoattack and by crossfire, what crossfire
remarked, and how many examples the reference broke and crossfire left.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench import evaluate
from bench.data import load
from bench.models.sources import find
from bench.threats import budget_home, resolve


class Disguised(nn.Module):
    """A model with something before or behind it that hides its gradients."""

    def __init__(
        self,
        inner: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        behind: Callable[[Tensor], Tensor] = lambda z: z,
    ) -> None:
        super().__init__()
        self.inner, self.before, self.behind = inner, before, behind

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (n, c, h, w) in [0, 1]."""
        logits: Tensor = self.behind(self.inner(self.before(x)))
        return logits


def hidden_quantiser(x: Tensor) -> Tensor:
    """Eight grey levels, and a ripple that gives a gradient which says nothing."""
    return torch.floor(7 * x + 0.5) / 7 + 1e-4 * torch.sin(60 * x)


def noise(x: Tensor) -> Tensor:
    """Other pixels at each call."""
    return x + 0.05 * torch.randn_like(x)


DISGUISES: dict[str, dict[str, Callable[[Tensor], Tensor]]] = {
    "none": {},
    "quantised input": {"before": lambda x: torch.floor(7 * x + 0.5) / 7},
    "quantised input, rippled": {"before": hidden_quantiser},
    "saturated logits": {"behind": lambda z: 10 * torch.tanh(z)},
    "logits × 1000": {"behind": lambda z: 1000 * z},
    "logits / 100,000": {"behind": lambda z: 1e-5 * z},
    "probabilities, sharpened": {"behind": lambda z: (20 * z).softmax(1)},
    "randomised input": {"before": noise},
}


def main() -> None:
    """Measure every disguise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--threat", default="linf")
    parser.add_argument("--examples", type=int, default=100)
    given = parser.parse_args()
    data = load(given.dataset)
    split = data.test.take(given.examples)
    inner = find(given.checkpoint, data).model.eval()
    home = budget_home(given.dataset, tuple(split.images.shape[1:]))
    print("| disguise | threat | pgd-100 | reference | crossfire | missed | remarks |")
    print("|---|---|--:|--:|--:|--:|---|")
    for name, disguise in DISGUISES.items():
        for threat in resolve(given.threat, home):
            torch.manual_seed(0)
            outcomes = [
                evaluate(
                    Disguised(inner, **disguise).eval(),
                    *(split.floats(), split.labels),
                    threat=str(threat),
                    suites=(suite,),
                    display="none",
                )
                for suite in ("pgd-100", "autoattack-reference", "crossfire")
            ]
            columns = [next(iter(outcome.columns.values())) for outcome in outcomes]
            missed = int((columns[2].robust & ~columns[1].robust).sum())
            remarks = ", ".join(finding.id for finding in outcomes[2].findings)
            accuracies = " | ".join(f"{outcome.accuracy():.1%}" for outcome in outcomes)
            print(f"| {name} | {threat} | {accuracies} | {missed} | {remarks} |", flush=True)


if __name__ == "__main__":
    main()

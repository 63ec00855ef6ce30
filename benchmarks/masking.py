"""Gradient masking, planted in a sound model: does `crossfire` notice, and does it end where the
reference does?

    python benchmarks/masking.py CHECKPOINT --dataset digits --threat linf --examples 100

One row a disguise: robust accuracy by PGD-100, by pyautoattack and by crossfire, what crossfire
remarked, and how many examples the reference broke and crossfire left.
"""

import argparse

import torch
from disguises import DISGUISES, Disguise

from bench import evaluate
from bench.data import load
from bench.models.sources import find
from bench.threats import budget_home, resolve

NONE = Disguise("none", ())
SHOWN = (
    *("none", "quantised input", "quantised input, rippled", "saturated logits"),
    *("logits × 1000", "logits / 100,000", "probabilities, sharpened", "randomised input"),
)


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
    for disguise in (NONE, *DISGUISES):
        if disguise.name not in SHOWN:
            continue
        for threat in resolve(given.threat, home):
            torch.manual_seed(0)
            outcomes = [
                evaluate(
                    disguise.on(inner),
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
            print(
                f"| {disguise.name} | {threat} | {accuracies} | {missed} | {remarks} |", flush=True
            )


if __name__ == "__main__":
    main()

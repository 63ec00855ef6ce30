"""Gradient masking added to a sound model: whether `crossfire` detects it, and whether it breaks as
many examples as the reference.

    python benchmarks/masking.py CHECKPOINT --dataset digits --threat linf --examples 100
    python benchmarks/masking.py CHECKPOINT --only none --only "clamped input"

One row per disguise: robust accuracy by PGD-100, by pyautoattack and by crossfire, the number of
examples that the reference broke and crossfire left, the processor seconds of both, and crossfire's
findings.
"""

import argparse
import time
from typing import Any

import torch
from disguises import DISGUISES, Disguise

from bench import evaluate
from bench.data import load
from bench.models.sources import find
from bench.threats import budget_dataset, resolve

NONE = Disguise("none", ())
CLAMPED = Disguise("clamped input", (), lambda x: x.clamp(0, 1))
"""No gradient where a pixel is 0 or 1, though nothing is hidden."""
CLIPPED = Disguise("clipped input", (), lambda x: x.clamp(0.1, 0.9))
"""No gradient where a pixel is less than 0.1 or more than 0.9."""
SHOWN = (
    *("none", "clamped input", "clipped input", "quantised input", "quantised input, rippled"),
    *("rippled input", "saturated logits", "logits × 1000", "logits / 100,000"),
    *("probabilities, sharpened", "randomised input", "gradient of a constant"),
)


HEAD = "disguise | threat | pgd-100 | reference | crossfire | missed | reference s | s | remarks"


def main() -> None:
    """Evaluate every disguise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--threat", default="linf")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--only", action="append", choices=SHOWN, help="all without it")
    given = parser.parse_args()
    data = load(given.dataset)
    split = data.test.take(given.examples)
    inner = find(given.checkpoint, data).model.eval()
    budgets = budget_dataset(given.dataset, tuple(split.images.shape[1:]))
    print(f"| {HEAD} |")
    print("|---|---|--:|--:|--:|--:|--:|--:|---|")
    for disguise in (NONE, CLAMPED, CLIPPED, *DISGUISES):
        if disguise.name not in (given.only or SHOWN):
            continue
        for threat in resolve(given.threat, budgets):
            torch.manual_seed(0)
            outcomes, moments = [], [time.process_time()]
            for suite in ("pgd-100", "autoattack-reference", "crossfire"):
                model = disguise.on(inner)
                settings: dict[str, Any] = {
                    "threat": str(threat),
                    "suites": (suite,),
                    "display": "none",
                }
                outcomes.append(evaluate(model, split.floats(), split.labels, **settings))
                moments.append(time.process_time())
            columns = [next(iter(outcome.columns.values())) for outcome in outcomes]
            missed = int((columns[2].robust & ~columns[1].robust).sum())
            seconds = [f"{moments[k + 1] - moments[k]:.0f}" for k in (1, 2)]
            remarks = ", ".join(finding.id for finding in outcomes[2].findings)
            accuracies = (f"{outcome.accuracy():.1%}" for outcome in outcomes)
            cells = (disguise.name, str(threat), *accuracies, str(missed), *seconds, remarks)
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

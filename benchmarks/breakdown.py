"""The time of an attack's steps by part: convolutions, the rest of the network, and the engine.

    OMP_NUM_THREADS=1 python benchmarks/breakdown.py CHECKPOINT npz:cifar10.npz --threat l1:12

Twenty steps of PGD on 128 images, with the network compiled as in long evaluations, and, for
comparison, with the original model in float32.
"""

import argparse
from collections import Counter
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from bench.attacks.base import Attack, Slots
from bench.attacks.pgd import PGD
from bench.compute.processor import keep_memory
from bench.data import load
from bench.evaluation.proposer import Proposer, proposer
from bench.models.checkpoint import load as load_checkpoint
from bench.threats import Threat

IMAGES, STEPS = 128, 20


def main() -> None:
    """Print a table: milliseconds per step, by part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("dataset")
    parser.add_argument("--threat", default="linf:8/255")
    given = parser.parse_args()
    keep_memory()
    model = load_checkpoint(given.checkpoint)[0].eval()
    split = load(given.dataset).test.take(IMAGES)
    x, y = split.floats(), split.labels
    threat, attack = Threat.parse(given.threat), PGD(steps=STEPS)
    slots = attack.start(Slots.fresh(x, y, y, torch.zeros_like(y)), threat)
    fast = proposer(model, x[:32], precision="auto", compiled=True, capacity=IMAGES)
    print("| network | forward convolutions | backward | the rest of it | engine | ms a step |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, model_form in (("original, float32", Proposer(model)), ("compiled", fast)):
        spent = measured(model_form, attack, slots, threat)
        total = sum(spent.values())
        shares = [spent[part] for part in ("forward", "backward", "rest", "engine")]
        cells = [f"{value / STEPS:.1f} ({value / total:.0%})" for value in shares]
        print(f"| {name} | {' | '.join(cells)} | {total / STEPS:.1f} |")


def measured(proposer: Proposer, attack: Attack, slots: Slots, threat: Threat) -> Counter[str]:
    """Milliseconds of all steps together, by part."""
    for _ in range(3):
        proposer.query(attack, slots)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(STEPS):
            with record_function("whole query"):
                response = proposer.query(attack, slots)
            with record_function("whole engine"):
                slots = attack.step(slots, response, threat)
    spent: Counter[str] = Counter()
    for event in seen.key_averages():
        milliseconds = event.cpu_time_total / 1000
        if event.key in ("whole query", "whole engine"):
            spent[event.key.removeprefix("whole ")] = milliseconds
        elif event.key in ("aten::mkldnn_convolution", "mkldnn::_convolution_pointwise"):
            spent["forward"] += milliseconds
        elif event.key == "aten::convolution_backward":
            spent["backward"] += milliseconds
    spent["rest"] = spent.pop("query") - spent["forward"] - spent["backward"]
    return spent


if __name__ == "__main__":
    main()

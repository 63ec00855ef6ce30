"""`bench doctor` on models broken on purpose and on sound ones: missed causes and false alarms.

    python benchmarks/diagnosis.py CHECKPOINT [--threat linf] [--sound FILE...]

One row for each disguise of the checkpoint, a sound `cnn` trained on digits; then one for the
checkpoint itself and for every further sound one. The last line counts missed causes and sound
models on which a check failed. One thread.
"""

import argparse
import time
from pathlib import Path

import torch
from disguises import DISGUISES
from networks import register
from torch import nn

from bench.data import Dataset, load
from bench.diagnosis import diagnose
from bench.errors import CrossfireError
from bench.measurement import own_dataset
from bench.models.sources import find
from bench.threats import Threat, budget_dataset, resolve


def row(
    name: str, model: nn.Module, data: Dataset, threat: Threat, causes: tuple[str, ...], n: int
) -> bool:
    """Print the diagnosis; return whether it is wrong."""
    began = time.monotonic()
    split = data.test.take(n)
    torch.manual_seed(0)
    try:
        found = diagnose(
            model, split.floats(), split.labels, threat, training=data.train.images
        ).checks
    except CrossfireError as error:
        print(f"| {name} | {threat} | not checked: {error} | | | |", flush=True)
        return False
    failed, warned = (
        [check.id for check in found if check.verdict == kind] for kind in ("fail", "warn")
    )
    seconds = time.monotonic() - began
    print(
        f"| {name} | {threat} | {', '.join(causes) or '–'} | {', '.join(failed) or '–'} "
        f"| {', '.join(warned) or '–'} | {seconds:.0f} |",
        flush=True,
    )
    return not set(causes) <= set(failed) if causes else bool(failed)


def main() -> None:
    """Diagnose all models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--threat", default="linf")
    parser.add_argument("--examples", type=int, default=96)
    parser.add_argument("--sound", nargs="*", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    register()
    data = load("digits")
    inner = find(given.checkpoint, data).model
    print("| model | threat | cause | fails | warns | seconds |")
    print("|---|---|---|---|---|--:|")
    (threat,) = resolve(given.threat, "digits")
    missed = sum(
        row(disguise.name, disguise.on(inner), data, threat, disguise.causes, given.examples)
        for disguise in DISGUISES
    )
    false_alarms = 0
    for spec in (given.checkpoint, *given.sound):
        own = load(own_dataset(spec))
        (threat,) = resolve(given.threat, budget_dataset(own.name, own.test.shape))
        name = Path(spec).stem
        false_alarms += row(name, find(spec, own).model, own, threat, (), given.examples)
    print(f"\ncauses missed: {missed}; sound models with a failed check: {false_alarms}")


if __name__ == "__main__":
    main()

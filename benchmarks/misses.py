"""Which attacks break the examples that `crossfire` missed in breadth.py.

    python benchmarks/misses.py --data FOLDER

FOLDER has cifar10.npz and mnist.npz. Each attack is run on the missed examples only, under each
norm.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from breadth import IMAGES, KEPT, flags, network, spec
from networks import SUBJECTS, Subject, register

from bench import evaluate
from bench.attacks.apgd import APGD
from bench.attacks.apgd_l1 import SparseAPGD
from bench.attacks.objectives import Objective
from bench.data import load
from bench.evaluation import suites
from bench.evaluation.suites import Stage, Suite
from bench.threats import NORMS, Norm

SPLIT = "judge-v5"


def auto_pgd(loss: Objective, steps: int, targets: int = 0, restarts: int = 1) -> Suite:
    """One stage of Auto-PGD, in ℓ1 the sparse one."""

    def suite(norm: Norm, classes: int) -> tuple[Stage, ...]:
        kind = SparseAPGD if norm == "l1" else APGD
        return (Stage(kind(loss, steps=steps), targets=targets, restarts=restarts),)

    return suite


def margin(norm: Norm, classes: int) -> tuple[Stage, ...]:
    """The stage `margin-more` of `crossfire`, always and against nine classes."""
    stages = suites.crossfire(norm, classes)
    (more,) = (work for work in stages if work.attack.name == "margin-more")
    return (replace(more, targets=9, after=()),)


ATTACKS: dict[str, Suite] = {
    "Auto-PGD on the margin, 50 steps, 3 targets": auto_pgd("targeted-margin", 50, 3),
    "Auto-PGD on the margin, 50 steps, 9 targets": auto_pgd("targeted-margin", 50, 9),
    "Auto-PGD on the margin, 100 steps, 3 targets": auto_pgd("targeted-margin", 100, 3),
    "Auto-PGD on the margin, 100 steps, 9 targets": auto_pgd("targeted-margin", 100, 9),
    "Auto-PGD on the cross-entropy, 100 steps, 5 restarts": auto_pgd("ce", 100, restarts=5),
    "margin ascent, 40 steps, 9 targets, 4 restarts": margin,
    "AutoAttack": suites.autoattack,
}


def missed(subject: Subject, norm: Norm) -> tuple[str, np.ndarray]:
    """The threat, and the numbers of the examples that the reference broke and `crossfire` left."""
    kept = json.loads((KEPT / f"{subject.name}-{norm}.json").read_text())
    left, broken = flags(kept["crossfire"]), ~flags(kept["reference"])
    return kept["threat"], np.flatnonzero(left & broken)


def main() -> None:
    """Attack the missed examples, and print how many each attack breaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("."))
    folder = parser.parse_args().data
    register()
    torch.set_num_threads(1)
    suites._BUILT_IN.update(ATTACKS)
    found: Counter[tuple[str, Norm]] = Counter()
    total: Counter[Norm] = Counter()
    for subject in (s for s in SUBJECTS if s.split == SPLIT):
        test = load(spec(subject.dataset, folder)).test.take(IMAGES)
        model, images = network(subject), test.floats()
        for norm in NORMS:
            threat, rows = missed(subject, norm)
            total[norm] += len(rows)
            for attack in ATTACKS if len(rows) else ():
                outcome = evaluate(
                    model,
                    images[rows],
                    test.labels[rows],
                    numbers=torch.from_numpy(rows),
                    threat=threat,
                    suites=(attack,),
                    display="none",
                )
                (column,) = outcome.columns.values()
                found[attack, norm] += int((~column.robust).sum())
    print("attack", *NORMS, sep=" | ")
    print("missed", *(total[norm] for norm in NORMS), sep=" | ")
    for attack in ATTACKS:
        print(attack, *(found[attack, norm] for norm in NORMS), sep=" | ")


if __name__ == "__main__":
    main()

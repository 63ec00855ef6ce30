"""`crossfire` against pyautoattack on 36 networks of many kinds, under three norms.

    python benchmarks/breadth.py train --data FOLDER
    python benchmarks/breadth.py attack --data FOLDER
    python benchmarks/breadth.py report
    python benchmarks/breadth.py attack --again --results NEW --data FOLDER

FOLDER has cifar10.npz and mnist.npz. The networks are those of breadth/networks.txt: eight were
used to choose settings (split `choose`), sixteen only to test them (`judge`), and twelve, trained
when protocol 5 was final, only to test that (`judge-v5`).
Networks and results are kept in benchmarks/breadth, and finished work is not repeated;
`attack --again` repeats only `crossfire`, so that the seconds of the reference are those of an
earlier run, and are not compared if that was on another machine; `--results` keeps results in
another folder. One thread.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from networks import SUBJECTS, Scaled, Split, Subject, register
from scipy.stats import binomtest
from torch import Tensor, nn

from bench import evaluate
from bench.attacks.reference import autoattack_reference
from bench.compute.environment import processor
from bench.data import load
from bench.evaluation.judge import Judge
from bench.evaluation.record import public_checkpoint
from bench.files import write_atomic
from bench.models.checkpoint import load as checkpoint
from bench.threats import Threat, budget_dataset, resolve

KEPT = Path(__file__).with_name("breadth")
IMAGES = 128
SIZES = {
    "digits": "--epochs 20",
    "mnist": "--examples 6000 --epochs 10",
    "cifar10": "--examples 10000 --epochs 6",
}
"""Training options for each data set."""
AGAIN = "import networks; networks.register(); from bench.cli import main; main()"

Finding = dict[str, Any]


def spec(dataset: str, folder: Path) -> str:
    """The data set's name on the command line."""
    return dataset if dataset == "digits" else f"npz:{folder / dataset}.npz"


def train(subject: Subject, folder: Path) -> None:
    """Train a network, or resume its training, and keep its last weights."""
    out = Path("build") / "breadth" / subject.name
    kind, *own = subject.train.split()
    words = f"train {kind} {SIZES[subject.dataset]} --arch {subject.arch}".split() + own
    words += ["--dataset", spec(subject.dataset, folder), "--out", str(out)]
    if "rslad" in words:
        words += ["--teacher", str(KEPT / "cifar-wide.safetensors")]
    command = [sys.executable, "-c", AGAIN, *words, "--display", "none"]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)})
    model, metadata = checkpoint(out / "last.safetensors")
    kept = public_checkpoint(out / "kept", model, asdict(metadata))
    kept.replace(KEPT / f"{subject.name}.safetensors")


def network(subject: Subject) -> nn.Module:
    """The trained network."""
    model, _ = checkpoint(KEPT / f"{subject.name}.safetensors")
    return model if subject.scale == 1 else Scaled(model, subject.scale).eval()


def reference(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Finding:
    """The result of pyautoattack, verified by the judge."""
    began = time.perf_counter()
    points = autoattack_reference(model, x, y, threat, batch_size=IMAGES)
    seconds = time.perf_counter() - began
    judge = Judge(model, IMAGES)
    broken, _ = judge.adversarial(x, points, y, threat, bounded=False)
    return found((~(broken | judge.wrong(x, y))).numpy(), seconds)


def ours(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Finding:
    """The result of `crossfire`, set-up time included, with the number of examples that each stage
    broke, and whether the model was repaired after an alarm."""
    began = time.perf_counter()
    outcome = evaluate(model, x, y, threat=str(threat), suites=("crossfire",), display="none")
    seconds = time.perf_counter() - began
    ((pair, column),) = outcome.columns.items()
    ran = [outcome.attacks[pair][number] for number in column.run]
    return found(column.robust, seconds) | {
        "precision": outcome.precision,
        "passes": int(column.forward.sum() + column.backward.sum()) / len(y),
        "broke": {outcome.attacks[pair][n]: int((column.by == n).sum()) for n in column.run},
        "escalated": "margin-repaired" in ran,
        "remarks": [f"{f.id} {f.message}" for f in outcome.findings],
    }


def found(robust: np.ndarray, seconds: float) -> Finding:
    """Flags of the robust examples, and the time."""
    flags = np.packbits(robust).tobytes().hex()
    return {"robust": flags, "seconds": round(seconds, 3), "machine": processor()}


def attack(subject: Subject, folder: Path, results: Path, again: bool) -> None:
    """Compare the two on one network, and save both results."""
    split = load(spec(subject.dataset, folder)).test.take(IMAGES)
    budgets = budget_dataset(subject.dataset, tuple(split.images.shape[1:]))
    for threat in resolve("union", budgets):
        path = results / f"{subject.name}-{threat.norm}.json"
        earlier = path if path.exists() else KEPT / path.name
        kept = json.loads(earlier.read_text()) if earlier.exists() else {}
        if "crossfire" in kept and not again:
            continue
        model, x, y = network(subject), split.floats(), split.labels
        fresh = "reference" not in kept
        if fresh:
            kept = {"threat": str(threat), "reference": reference(model, x, y, threat)}
        kept |= {"crossfire": ours(model, x, y, threat), "one_run": fresh}
        write_atomic(path, json.dumps(kept, indent=1).encode())
        print(*row(subject, threat.norm, results), sep=" | ", flush=True)


def flags(finding: Finding) -> np.ndarray:
    """Flags (n,) of the robust examples."""
    bits = np.frombuffer(bytes.fromhex(finding["robust"]), np.uint8)
    return np.unpackbits(bits)[:IMAGES].astype(bool)


def row(subject: Subject, norm: str, results: Path) -> tuple[str, ...]:
    """A row of the table: both results on one network under one norm."""
    kept = json.loads((results / f"{subject.name}-{norm}.json").read_text())
    theirs, own = flags(kept["reference"]), flags(kept["crossfire"])
    ratio = f"{kept['reference']['seconds'] / kept['crossfire']['seconds']:.0f}"
    if kept["reference"]["machine"] != kept["crossfire"]["machine"]:
        ratio = "–"
    elif not kept["one_run"]:
        ratio += "*"
    return (
        *(subject.name, subject.split, kept["threat"], f"{theirs.mean():.1%}", f"{own.mean():.1%}"),
        *(str(int((own & ~theirs).sum())), str(int((theirs & ~own).sum()))),
        *(f"{kept['reference']['seconds']:.0f}", f"{kept['crossfire']['seconds']:.2f}"),
        ratio,
        "yes" if kept["crossfire"]["escalated"] else "–",
    )


HEAD = (
    "network | split | threat | reference | crossfire | missed | extra | reference s | s | ratio"
    " | escalated"
)


def rows(results: Path) -> Iterator[tuple[str, ...]]:
    """The rows of all finished attacks."""
    for subject in SUBJECTS:
        for norm in ("linf", "l2", "l1"):
            if (results / f"{subject.name}-{norm}.json").exists():
                yield row(subject, norm, results)


def summary(table: list[tuple[str, ...]]) -> Iterator[str]:
    """Misses and ratios of each part of the split, and of its networks on each data set."""
    for split in ("judge-v5", "judge", "choose"):
        for data in ("", "cifar", "mnist", "digits"):
            mine = [r for r in table if r[1] == split and r[0].startswith(data)]
            if mine:
                name = f"{split}, {data}" if data else split
                yield f"{name}: {verdicts(mine)}"
                yield from (f"{name} {norm}: {speed}" for norm, speed in ratios(mine))


def verdicts(table: list[tuple[str, ...]]) -> str:
    """Missed verdicts with their upper limit, extra ones, and escalations."""
    missed, extra = (sum(int(r[column]) for r in table) for column in (5, 6))
    count = IMAGES * len(table)
    upper = binomtest(missed, count).proportion_ci(0.95, "exact").high
    return (
        f"{missed} of {count} verdicts missed ({missed / count:.3%}, upper limit {upper:.3%}), "
        f"{extra} extra; escalated {sum(r[10] == 'yes' for r in table)} of {len(table)}"
    )


def ratios(table: list[tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Each norm with the median and the least ratio of times."""
    for norm in ("linf", "l2", "l1"):
        own = [r[9].rstrip("*") for r in table if r[2].startswith(norm)]
        known = [float(ratio) for ratio in own if ratio != "–"]
        if known:
            yield norm, f"median ratio {np.median(known):.0f}, least {min(known):.0f}"


def main() -> None:
    """Train, attack or report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["train", "attack", "report"])
    parser.add_argument("--data", type=Path, default=Path("."))
    parser.add_argument("--split", choices=get_args(Split))
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--results", type=Path, default=KEPT)
    given = parser.parse_args()
    register()
    torch.set_num_threads(1)
    given.results.mkdir(exist_ok=True)
    chosen = [s for s in SUBJECTS if given.split in (None, s.split)]
    if given.only:
        chosen = [s for s in chosen if s.name in given.only]
    if given.what == "report":
        table = list(rows(given.results))
        print(f"| {HEAD} |", "|---|---|---|--:|--:|--:|--:|--:|--:|--:|---|", sep="\n")
        print(*(f"| {' | '.join(r)} |" for r in table), "", *summary(table), sep="\n")
        return
    for subject in chosen:
        kept = KEPT / f"{subject.name}.safetensors"
        if given.what == "attack":
            attack(subject, given.data, given.results, given.again)
        elif not kept.exists():
            train(subject, given.data)


if __name__ == "__main__":
    main()

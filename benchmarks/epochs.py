"""The cost of adversarial training: an epoch here against the same epoch with the attacks of other
toolboxes, and a step of mutual training against a step of AT.

    python benchmarks/epochs.py npz:cifar10.npz --arch preactresnet18-w16 --examples 2560 --epochs 2

All use the same batches, schedule, optimiser and PGD-10, each in its own process; the toolboxes'
attacks have their defaults, in float32, and the training loop is that of their tutorials. Seconds
are those of the last epoch; the additional seconds of the first, for compilation, have their own
column. PGD-100 on the first 500 test images compares the results.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import evaluate
from bench.data import Dataset
from bench.data import load as load_data
from bench.models import build
from bench.models.checkpoint import load as load_checkpoint
from bench.threats import Threat
from bench.training import Job
from bench.training.batches import Batches
from bench.training.schedules import factor
from defenses.at import AT
from defenses.mat import MAT

LINF = Threat.parse("linf:8/255")
STEPS = 10
Attack = Callable[[Tensor, Tensor], Tensor]


def torchattacks_pgd(model: nn.Module) -> Attack:
    """PGD-10 of torchattacks."""
    import torchattacks

    attack: Attack = torchattacks.PGD(model, eps=LINF.eps, alpha=LINF.eps / 4, steps=STEPS)
    return attack


def art_pgd(model: nn.Module) -> Attack:
    """PGD-10 of the Adversarial Robustness Toolbox."""
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        input_shape=(3, 32, 32),
        nb_classes=10,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    attack = ProjectedGradientDescentPyTorch(
        classifier,
        eps=LINF.eps,
        eps_step=LINF.eps / 4,
        max_iter=STEPS,
        num_random_init=1,
        batch_size=128,
        verbose=False,
    )
    return lambda x, y: torch.from_numpy(attack.generate(x.numpy(), y.numpy()))


@dataclass(frozen=True)
class Trained:
    """A network, the seconds of each of its epochs, and passes an epoch where they were counted."""

    model: nn.Module
    seconds: list[float]
    passes: int | None = None


def theirs(data: Dataset, job: Job, make: Callable[[nn.Module], Attack]) -> Trained:
    """A plain loop around another toolbox's attack."""
    torch.manual_seed(job.seed)
    model = build(job.arch, classes=10, channels=3, size=(32, 32))
    attack = make(model)
    optimizer = torch.optim.SGD(
        model.parameters(), job.lr, momentum=job.momentum, weight_decay=job.weight_decay
    )
    split = data.train.take(job.examples)
    batches = Batches(
        split, job.batch_size, seed=job.seed, augment="crop-flip", device=torch.device("cpu")
    )
    seconds = []
    for epoch in range(job.epochs):
        began = time.perf_counter()
        for step in range(batches.steps):
            done = epoch + step / batches.steps
            optimizer.param_groups[0]["lr"] = job.lr * factor("cyclic", done, job.epochs, ())
            batch = batches(epoch, step)
            model.eval()
            x_adv = attack(batch.x, batch.y)
            model.train()
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x_adv), batch.y)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), job.clip)
            optimizer.step()
        seconds.append(time.perf_counter() - began)
    return Trained(model.eval(), seconds)


def ours(defense: AT | MAT, job: Job) -> Trained:
    """A defense of this project."""
    defense.fit(job)
    log = pd.read_csv(job.out / "log.csv")
    passes = int(log.forward_passes[0] + log.backward_passes[0])
    model, _ = load_checkpoint(job.out / "last.safetensors")
    return Trained(model.eval(), [log.seconds[0], *log.seconds.diff()[1:]], passes)


def ways(data: Dataset, job: Callable[[str], Job]) -> dict[str, Callable[[], Trained]]:
    """Every way to train, by its name in the table."""
    return {
        "AT here": lambda: ours(AT(), job("at")),
        "MAT here, 2 networks": lambda: ours(MAT(), job("mat")),
        "MAT here, alpha 0": lambda: ours(MAT(alpha=0.0, labels_on="own"), job("mat-0")),
        "torchattacks": lambda: theirs(data, job("torchattacks"), torchattacks_pgd),
        "ART": lambda: theirs(data, job("art"), art_pgd),
    }


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Train one way; its cost and its accuracies."""
    data = load_data(given.dataset)
    with tempfile.TemporaryDirectory() as folder:

        def job(name: str) -> Job:
            sizes = {"examples": given.examples, "epochs": given.epochs, "arch": given.arch}
            return Job(Path(folder) / name, (LINF,), given.dataset, compile=True, **sizes)

        trained = ways(data, job)[given.way]()
    test = data.test.take(min(500, len(data.test)))
    outcome = evaluate(trained.model, test.images, test.labels, threat=str(LINF), display="none")
    found = {"clean": outcome.clean.mean(), "robust": outcome.accuracy(), "passes": trained.passes}
    return found | {"last": trained.seconds[-1], "more": trained.seconds[0] - trained.seconds[-1]}


def main() -> None:
    """Train each way, in turn, and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--arch", default="preactresnet18-w16")
    parser.add_argument("--examples", type=int, default=2560)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measure(given)))
        return
    print(
        "| trained by | seconds/epoch | more in the first | times AT here | passes/epoch "
        "| clean | PGD-100 |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|", flush=True)
    base = None
    for name in ways(load_data(given.dataset), lambda _: Job(Path(), (LINF,))):
        command = [sys.executable, *sys.argv, "--way", name]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        base = base or found["last"]
        cells = [name, f"{found['last']:.1f}", f"{found['more']:.0f}"]
        cells += [f"{found['last'] / base:.2f}"]
        cells += [f"{found['passes']:,}" if found["passes"] else ""]
        cells += [f"{found['clean']:.1%}", f"{found['robust']:.1%}"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

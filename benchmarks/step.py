"""One step of training, method by method: seconds of the processor, and how they compare.

    OMP_NUM_THREADS=1 python benchmarks/step.py npz:cifar10.npz --arch preactresnet18-w16

AT with PGD-10 here, as it is and with compiled attacks, against the same step with the attacks of
other toolboxes (`pip install 'crossfire-bench[peers]'`; left out where they are not installed), and
against L2L with its attackers. All take turns in one process, so that what else the machine does
falls on all of them; the ratio is the median over the rounds, with their range.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from epochs import LINF, Attack, art_pgd, torchattacks_pgd
from torch import nn

from bench.compute.compilation import operations
from bench.losses import cross_entropy
from bench.models import build
from bench.models.attackers import Kind, build_attacker
from bench.training import Batch, Job, adversarial, attacking, evaluating
from bench.training.batches import Batches
from defenses.l2l import L2L

Step = Callable[[], None]
PEERS = {"torchattacks": ("torchattacks", torchattacks_pgd), "ART": ("art", art_pgd)}
ATTACKERS: list[tuple[Kind, int]] = [("slim", 16), ("two-layer", 16), ("wide", 16)]


def at(job: Job, batch: Batch) -> Step:
    """AT with PGD-10."""
    net = job.model().train()
    optimizer = job.sgd(net)
    return lambda: learn(net, optimizer, adversarial(net, batch, LINF), batch, job.clip)


def learning(job: Job, batch: Batch, *, compiling: bool) -> Step:
    """The part of a step of AT that is no attack."""
    net = job.model().train()
    optimizer = job.sgd(net)
    if compiling:
        net.body.compile()
    return lambda: learn(net, optimizer, batch.x, batch, job.clip)


def fetch(batches: Batches) -> None:
    """The first batch: its images, cropped and flipped."""
    batches(0, 0)


def peer(job: Job, batch: Batch, make: Callable[[nn.Module], Attack]) -> Step:
    """AT with another toolbox's PGD-10, on the network as its tutorials have it."""
    net = build(job.arch, classes=job.data.classes, channels=job.data.channels, size=job.data.size)
    attack, optimizer = make(net), job.sgd(net)

    def step() -> None:
        net.eval()
        x_adv = attack(batch.x, batch.y)
        net.train()
        learn(net, optimizer, x_adv, batch, job.clip)

    return step


def l2l(job: Job, batch: Batch, defense: L2L) -> Step:
    """L2L: an update of the classifier, then one of the attacker."""
    net, attacker = job.model().train(), defense.build(job).train()
    optimizer, adam = job.sgd(net), torch.optim.Adam(attacker.parameters(), defense.attacker_lr)

    def step() -> None:
        with evaluating(attacker), torch.no_grad():
            x_adv = defense.perturb(attacker, net, batch.x, batch.y, LINF)
        learn(net, optimizer, x_adv, batch, job.clip)
        with attacking(net):
            x_adv = defense.perturb(attacker, net, batch.x, batch.y, LINF)
            adam.zero_grad()
            torch.autograd.backward(-cross_entropy(net(x_adv), batch.y).mean())
            adam.step()

    return step


def learn(
    net: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, batch: Batch, clip: float
) -> None:
    """One update on the cross-entropy at x."""
    optimizer.zero_grad()
    torch.autograd.backward(cross_entropy(net(x), batch.y).mean())
    nn.utils.clip_grad_norm_(net.parameters(), clip)
    optimizer.step()


def steps(job: Job, compiling: Job, batches: Batches) -> dict[str, Step]:
    """Every step by its name in the table, the one to compare with first."""
    batch = batches(0, 0)
    made: dict[str, Step] = {
        "AT here": at(job, batch),
        "AT here, compiled": at(compiling, batch),
        "of AT, the learning": learning(job, batch, compiling=False),
        "of AT, the learning compiled": learning(job, batch, compiling=True),
        "of AT, images and augmentation": partial(fetch, batches),
    }
    for name, (module, make) in PEERS.items():
        if importlib.util.find_spec(module):
            made[f"AT, {name}"] = peer(job, batch, make)
    for kind, width in ATTACKERS:
        made[f"L2L, {kind} {width}"] = l2l(job, batch, L2L(attacker=kind, width=width))
    return made


def shares(job: Job) -> None:
    """What a pass of each attacker costs, in passes of the classifier: by their multiplications."""
    channels = job.data.channels
    image = torch.zeros(1, channels, *job.data.size)
    one = operations(job.model().body, image)
    for kind, width in [*ATTACKERS, ("wide", 64)]:
        attacker = build_attacker(kind, inputs=2 * channels, channels=channels, width=width)
        share = operations(attacker, torch.cat([image, image], 1)) / one
        print(f"a pass of the attacker {kind} {width} is {share:.2f} passes of the classifier")


def main() -> None:
    """Take turns, and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--arch", default="preactresnet18-w16")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", default="", help="only rows with this in their names, beside the first"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"arch": given.arch, "batch_size": given.batch_size}
        job, compiling = (
            Job(Path(folder), (LINF,), given.dataset, compile=choice, **settings)
            for choice in (False, True)
        )
        split, device = job.data.train, job.fabric.device
        augment = job.augmentation
        batches = Batches(split, job.batch_size, seed=0, augment=augment, device=device)
        made = steps(job, compiling, batches)
        shares(job)
    first = next(iter(made))
    chosen = {name: step for name, step in made.items() if name == first or given.only in name}
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(given.rounds + 1):  # the first warms up, and compiles
        for name, step in chosen.items():
            began = time.process_time()
            step()
            seconds[name].append(time.process_time() - began)
    print("| step | seconds | times the first row | range | more in the first step |")
    print("|---|--:|--:|--:|--:|")
    for name, (more, *spent) in seconds.items():
        ratios = [a / b for a, b in zip(spent, seconds[first][1:], strict=True)]
        middle, usual = statistics.median(ratios), statistics.median(spent)
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        cells = [name, f"{usual:.3f}", f"{middle:.3f}", spread]
        print(f"| {' | '.join([*cells, f'{more - usual:.0f}'])} |")


if __name__ == "__main__":
    main()

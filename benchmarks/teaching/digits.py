"""Digits with a network as teacher. Nothing is exact here: attacks give upper bounds."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.data import load
from bench.models.checkpoint import load as load_checkpoint
from bench.threats import Threat
from bench.training import Job
from bench.types import Model as Network
from defenses.at import AT

from .balls import Ball, ascend
from .exact_students import Measured
from .learning import cross_entropy
from .shapes import Labels, Logits, Points, Values

BALL = Ball("linf", 0.25, 0.0, 1.0)
CLASSES, PIXELS = 10, 64
ATTACKS = (("labels", 20), ("disagreement", 10))
"""What the attacks raise, with their steps."""


class Teacher:
    """A network before s students: flat images (s, n, 64) -> logits (s, n, 10)."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def __call__(self, x: Points) -> Logits:
        """Its logits."""
        logits: Tensor = self.network(x.reshape(-1, 1, 8, 8))
        return logits.reshape(*x.shape[:2], -1)


def trained(folder: Path, epochs: int, arch: str, examples: int | None) -> nn.Module:
    """A teacher by adversarial training on digits, made in `folder` or found there.

    With all examples the same as `bench train at --arch ARCH --epochs N --out FOLDER`.
    """
    threats = (Threat.parse("linf:0.25"),)
    job = Job(folder, threats, arch=arch, device="cpu", epochs=epochs, examples=examples)
    AT().fit(job)
    model, _ = load_checkpoint(folder)
    return model.eval().requires_grad_(False)


def images(seeds: Sequence[int], n: int) -> tuple[Points, Labels]:
    """For each seed n training images of its own (s, n, 64) and their labels."""
    split = load("digits").train
    flat = split.floats().flatten(1)
    chosen = [
        torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))[:n]
        for seed in seeds
    ]
    return torch.stack([flat[i] for i in chosen]), torch.stack([split.labels[i] for i in chosen])


def measure(students: nn.Module, teacher: Teacher, s: int, tests: int) -> Measured:
    """Agreement with the teacher on test images, that under attack, and accuracy under attack.

    An image counts as agreeing under attack if student and teacher agree at x and at what each of
    two attacks leads to: PGD on the cross-entropy of the label, and PGD on KL(t ‖ f) through both.
    """
    split = load("digits").test.take(tests)
    x = split.floats().flatten(1).expand(s, -1, -1)
    y = split.labels.expand(s, -1)
    clean = _agree(students, teacher, x)
    agreeing, right = clean.clone(), students(x).argmax(-1) == y
    for name, steps in ATTACKS:
        found = _attacked(name, students, teacher, x, y, steps)
        agreeing &= _agree(students, teacher, found)
        right &= students(found).argmax(-1) == y
    shares = [flags.double().mean(1) for flags in (clean, agreeing, right)]
    return Measured(shares[0], shares[1], shares[2])


def _attacked(
    name: str, students: nn.Module, teacher: Teacher, x: Points, y: Labels, steps: int
) -> Points:
    def by_label(points: Tensor) -> Values:
        return cross_entropy(students(points), y)

    def by_disagreement(points: Tensor) -> Values:
        said, own = teacher(points).log_softmax(-1), students(points).log_softmax(-1)
        return F.kl_div(own, said, reduction="none", log_target=True).sum(-1)

    objective = by_label if name == "labels" else by_disagreement
    generator = torch.Generator().manual_seed(0)
    return ascend(objective, x, BALL, steps=steps, generator=generator)


@torch.no_grad()
def _agree(students: nn.Module, teacher: Teacher, x: Points) -> Tensor:
    agree: Tensor = students(x).argmax(-1) == teacher(x).argmax(-1)
    return agree

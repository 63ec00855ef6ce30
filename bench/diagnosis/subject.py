"""The model under diagnosis with the examples that it classifies correctly, and runs of attacks on
them that record their path."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bench.attacks.base import Attack, Response, Slots
from bench.attacks.external import ExternalAttack
from bench.compute import random_streams
from bench.evaluation.judge import Judge, allowed, distances
from bench.evaluation.loop import claimed
from bench.evaluation.proposer import Proposer
from bench.evaluation.queue import wrong_classes
from bench.evaluation.suites import Stage
from bench.threats import Threat
from bench.threats.geometry import Points


@dataclass(frozen=True)
class Effort:
    """How much work the checks do; tests use less."""

    steps: int = 100
    """Steps of the recorded PGD, and the most steps of any stage of a suite."""
    queries: int = 500
    """Queries of Square attack per example."""
    targets: int = 3
    """Target classes of a targeted attack: the wrong classes with the largest logits."""
    averaged: int = 16
    """Gradients in a mean over a neighbourhood."""
    draws: int = 400
    """Random points of the ball per example."""
    remaining: int = 48
    """Examples left by the white-box attack on which other attacks run."""
    imitation: int = 250
    """Training steps of the surrogate for the transfer attack."""
    planted: int = 32
    """Images of the active test."""
    inner: int = 400
    """Points inside the threat per image of the active test."""
    search: int = 200
    """Random points per image of the active test's random search."""


@dataclass(frozen=True)
class Subject:
    """A model in eval mode, with images x (n, c, h, w) in [0, 1] that it classifies as y (n,);
    `numbers` are their positions in the data set, and `target_classes` (n, r) the wrong classes by
    decreasing logit."""

    model: nn.Module
    x: Points
    y: Int[Tensor, " n"]
    numbers: Int[Tensor, " n"]
    target_classes: Int[Tensor, "n r"]
    classes: int
    threat: Threat
    seed: int
    effort: Effort = Effort()

    @classmethod
    def of(
        cls,
        model: nn.Module,
        x: Points,
        y: Int[Tensor, " n"],
        threat: Threat,
        seed: int = 0,
        effort: Effort | None = None,
    ) -> "Subject":
        """Keep the examples that the model classifies correctly."""
        logits = Judge(model).logits(x)
        right = (logits.argmax(1) == y) & logits.isfinite().all(1)
        chosen = effort or Effort()
        targets = wrong_classes(logits, y, chosen.targets)
        numbers = torch.arange(len(y), device=y.device)
        x, y, numbers, targets = (part[right] for part in (x, y, numbers, targets))
        return cls(model, x, y, numbers, targets, logits.shape[1], threat, seed, chosen)

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def judge(self) -> Judge:
        """The model in float32, which decides verdicts."""
        return Judge(self.model, limit=256)

    def some(self, rows: Tensor) -> "Subject":
        """Some of the examples, by number or by flag."""
        names = ("x", "y", "numbers", "target_classes")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def under(self, threat: Threat) -> "Subject":
        """The same under another threat."""
        return replace(self, threat=threat)

    def slots(self, name: str, attempt: int = 0, target: Tensor | None = None) -> Slots:
        """Fresh slots for an attack of that name."""
        key = random_streams.keys(self.seed, self.numbers, name, attempt)
        return Slots.fresh(self.x, self.y, self.y if target is None else target, key)


@dataclass(frozen=True)
class Path:
    """The path of an attack: losses (steps, n); flags (n,) whether any iterate was adversarial,
    whether the last one was, and whether all outputs were finite."""

    losses: Float[Tensor, "t n"]
    found: Bool[Tensor, " n"]
    last: Bool[Tensor, " n"]
    finite: Bool[Tensor, " n"]


def follow(subject: Subject, attack: Attack) -> Path:
    """Run an untargeted attack to its end on every example, even after a success."""
    proposer, threat = Proposer(subject.model), subject.threat
    slots = attack.start(subject.slots(attack.name), threat)
    found = torch.zeros_like(subject.y, dtype=torch.bool)
    last, finite, losses = found, ~found, []
    ended = found
    while not bool(ended.all()):
        response = proposer.query(attack, slots)
        numbers = response.logits.isfinite().all(1)
        inside = distances(subject.x, slots.point, threat) <= allowed(threat)
        last = inside & ((response.logits.argmax(1) != slots.y) | ~numbers)
        found, finite = found | last, finite & numbers
        losses.append(response.loss)
        ended, slots = slots.done, attack.step(slots, response, threat)
    return Path(torch.stack(losses), found, last, finite)


def survivors(
    subject: Subject, stage: Stage, proposer: Proposer | None = None, attempt: int = 0
) -> Bool[Tensor, " n"]:
    """Flags (n,) of the examples that a stage leaves; by default it queries the model itself."""
    attack = stage.attack
    assert not isinstance(attack, ExternalAttack)
    queried = proposer or Proposer(subject.model)
    queried = queried.averaging(stage.repeats, stage.blur, subject.x)
    robust = torch.ones_like(subject.y, dtype=torch.bool)
    for restart in range(stage.restarts):
        for target in _targets(subject, stage):
            rows = robust.nonzero().flatten()
            if len(rows):
                classes = None if target is None else subject.target_classes[rows, target]
                number = attempt + restart + stage.restarts * (target or 0)
                robust[rows] = _left(subject.some(rows), attack, queried, classes, number)
    return robust


def _targets(subject: Subject, stage: Stage) -> Iterator[int | None]:
    if not stage.targets:
        yield None
    yield from range(min(stage.targets, subject.target_classes.shape[1]))


def _left(
    subject: Subject, attack: Attack, queried: Proposer, target: Tensor | None, attempt: int
) -> Bool[Tensor, " n"]:
    """One run; an example leaves the batch when it is broken or its attack has ended."""
    robust = torch.ones_like(subject.y, dtype=torch.bool)
    slots = attack.start(subject.slots(attack.name, attempt, target), subject.threat)
    rows = torch.arange(len(subject), device=subject.y.device)
    while len(rows):
        ended = slots.done
        response = queried.query(attack, slots)
        broken = _adversarial(subject.some(rows), slots, response)
        robust[rows[broken]] = False
        moved = attack.step(slots, response, subject.threat)
        keep = (~ended & ~broken).nonzero().flatten()
        rows, slots = rows[keep], moved.rows(keep)
    return robust


def _adversarial(subject: Subject, slots: Slots, response: Response) -> Bool[Tensor, " n"]:
    """Flags (n,): the slot's point is an adversarial example according to the judge."""
    broken = claimed(response.logits, slots.y)
    rows = broken.nonzero().flatten()
    if len(rows):
        some = slots.rows(rows)
        broken[rows], _ = subject.judge.adversarial(
            some.x, some.point, some.y, subject.threat, bounded=False
        )
    return broken

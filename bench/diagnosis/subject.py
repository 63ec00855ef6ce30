"""Who is examined: a model and the examples that it classifies correctly, and how an attack on them
is followed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bench.attacks.base import Answer, Attack, Slots
from bench.attacks.external import Whole
from bench.compute import random_streams
from bench.evaluation.engine import claimed
from bench.evaluation.judge import Judge, allowed, distances
from bench.evaluation.proposer import Proposer
from bench.evaluation.suites import Pass
from bench.threats import Threat
from bench.threats.geometry import Batch


@dataclass(frozen=True)
class Effort:
    """How hard the checks try; tests try less hard."""

    steps: int = 100
    """Of the PGD that is followed, and at most of any pass of a suite."""
    queries: int = 500
    """Of Square attack, for an example."""
    targets: int = 3
    """Wrong classes that a targeted attack aims at, those with the largest logits first."""
    averaged: int = 16
    """Gradients in a mean over a neighbourhood."""
    draws: int = 400
    """Random points of the ball, for an example."""
    rivals: int = 48
    """Examples that the white-box attack left and other attacks try."""
    imitation: int = 250
    """Steps of training the surrogate of the transfer attack."""
    planted: int = 32
    """Images of the active test."""
    inner: int = 400
    """Points inside the threat, for an image of the active test."""
    search: int = 200
    """Random points with which the active test is tried, for an image."""


@dataclass(frozen=True)
class Subject:
    """A model in eval mode, with images x (n, c, h, w) in [0, 1] that it classifies as y (n,);
    `numbers` are their places in the data set, and `rivals` (n, r) the wrong classes in the order
    of the logits."""

    model: nn.Module
    x: Batch
    y: Int[Tensor, " n"]
    numbers: Int[Tensor, " n"]
    rivals: Int[Tensor, "n r"]
    classes: int
    threat: Threat
    seed: int
    effort: Effort = Effort()

    @classmethod
    def of(
        cls,
        model: nn.Module,
        x: Batch,
        y: Int[Tensor, " n"],
        threat: Threat,
        seed: int = 0,
        effort: Effort | None = None,
    ) -> "Subject":
        """Keep the examples that the model classifies correctly."""
        logits = Judge(model).logits(x)
        right = (logits.argmax(1) == y) & logits.isfinite().all(1)
        ranked = logits.scatter(1, y[:, None], -torch.inf).argsort(1, descending=True)
        tried = effort or Effort()
        rivals = ranked[:, : min(tried.targets, logits.shape[1] - 1)]
        numbers = torch.arange(len(y), device=y.device)
        x, y, numbers, rivals = (part[right] for part in (x, y, numbers, rivals))
        return cls(model, x, y, numbers, rivals, logits.shape[1], threat, seed, tried)

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def judge(self) -> Judge:
        """The model in float32, whose word counts."""
        return Judge(self.model, limit=256)

    def some(self, rows: Tensor) -> "Subject":
        """Some of the examples, by number or by flag."""
        parts = {name: getattr(self, name)[rows] for name in ("x", "y", "numbers", "rivals")}
        return replace(self, **parts)

    def under(self, threat: Threat) -> "Subject":
        """The same under another threat."""
        return replace(self, threat=threat)

    def slots(self, name: str, turn: int = 0, target: Tensor | None = None) -> Slots:
        """Fresh slots for an attack of that name."""
        key = random_streams.keys(self.seed, self.numbers, name, turn)
        return Slots.fresh(self.x, self.y, self.y if target is None else target, key)


@dataclass(frozen=True)
class Path:
    """What an attack met on its way: (steps, n) losses; for each example whether any iterate was
    adversarial, whether the last one was, and whether all outputs were finite."""

    losses: Float[Tensor, "t n"]
    found: Bool[Tensor, " n"]
    last: Bool[Tensor, " n"]
    finite: Bool[Tensor, " n"]


def follow(subject: Subject, attack: Attack, turn: int = 0) -> Path:
    """Run an untargeted attack to its end on every example, whatever it finds on the way."""
    proposer, threat = Proposer(subject.model), subject.threat
    slots = attack.start(subject.slots(attack.name, turn), threat)
    found = torch.zeros_like(subject.y, dtype=torch.bool)
    last, finite, losses = found, ~found, []
    ended = found
    while not bool(ended.all()):
        answer = proposer.ask(attack, slots)
        numbers = answer.logits.isfinite().all(1)
        inside = distances(subject.x, slots.point, threat) <= allowed(threat)
        last = inside & ((answer.logits.argmax(1) != slots.y) | ~numbers)
        found, finite = found | last, finite & numbers
        losses.append(answer.loss)
        ended, slots = slots.done, attack.step(slots, answer, threat)
    return Path(torch.stack(losses), found, last, finite)


def survivors(
    subject: Subject, work: Pass, proposer: Proposer | None = None, turn: int = 0
) -> Bool[Tensor, " n"]:
    """Flags of the examples that a pass leaves; by default it asks the model itself."""
    attack = work.attack
    assert not isinstance(attack, Whole)
    asked = proposer or Proposer(subject.model)
    asked = replace(asked, repeats=work.repeats, blur=work.blur)
    standing = torch.ones_like(subject.y, dtype=torch.bool)
    for restart in range(work.restarts):
        for target in _targets(subject, work):
            rows = standing.nonzero().flatten()
            if len(rows):
                aim = None if target is None else subject.rivals[rows, target]
                begun = turn + restart + work.restarts * (target or 0)
                standing[rows] = _left(subject.some(rows), attack, asked, aim, begun)
    return standing


def _targets(subject: Subject, work: Pass) -> Iterator[int | None]:
    if not work.targets:
        yield None
    yield from range(min(work.targets, subject.rivals.shape[1]))


def _left(
    subject: Subject, attack: Attack, asked: Proposer, aim: Tensor | None, turn: int
) -> Bool[Tensor, " n"]:
    """One run; an example leaves the batch when it is broken or its attack has ended."""
    standing = torch.ones_like(subject.y, dtype=torch.bool)
    slots = attack.start(subject.slots(attack.name, turn, aim), subject.threat)
    rows = torch.arange(len(subject), device=subject.y.device)
    while len(rows):
        ended = slots.done
        answer = asked.ask(attack, slots)
        broken = _adversarial(subject.some(rows), slots, answer)
        standing[rows[broken]] = False
        moved = attack.step(slots, answer, subject.threat)
        keep = (~ended & ~broken).nonzero().flatten()
        rows, slots = rows[keep], moved.rows(keep)
    return standing


def _adversarial(subject: Subject, slots: Slots, answer: Answer) -> Bool[Tensor, " n"]:
    """Which of the slots' points the judge calls adversarial examples."""
    broken = claimed(answer.logits, slots.y)
    rows = broken.nonzero().flatten()
    if len(rows):
        some = slots.rows(rows)
        broken[rows], _ = subject.judge.adversarial(
            some.x, some.point, some.y, subject.threat, bounded=False
        )
    return broken

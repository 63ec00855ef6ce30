"""Checks whether other attacks break examples that the white-box attack left: black-box attacks,
random points, transfer from a surrogate, and the same attack on a repaired model."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Any

import torch

from bench.attacks.base import drive
from bench.attacks.margin import MarginPGD
from bench.attacks.square import Square
from bench.compute import random_streams
from bench.diagnosis.gradients import neighbourhood
from bench.diagnosis.optimisation import single_step
from bench.diagnosis.rules import RULES
from bench.diagnosis.subject import Subject, survivors
from bench.evaluation.proposer import Proposer
from bench.evaluation.repair import straight_through
from bench.evaluation.suites import Stage, get
from bench.threats.geometry import GEOMETRY
from bench.types import Flags, Model
from leaderboard.diagnosis import Check


def white_box(subject: Subject) -> Flags:
    """Flags (n,) of the examples that `crossfire` leaves before its first black-box attack."""
    robust = torch.ones_like(subject.y, dtype=torch.bool)
    for work in _stages(subject):
        rows = robust.nonzero().flatten()
        robust[rows] = survivors(subject.some(rows), work)
    return robust


def _stages(subject: Subject) -> list[Stage]:
    """The stages of `crossfire` before its first black-box attack, all of them unconditionally."""
    suite = get("crossfire")(subject.threat.norm, subject.classes)
    first = takewhile(lambda work: getattr(work.attack, "needs_gradient", False), suite)
    return [_capped(subject, work) for work in first]


def _capped(subject: Subject, work: Stage) -> Stage:
    attack: Any = work.attack  # every attack with gradients has steps
    return replace(work, attack=replace(attack, steps=min(attack.steps, subject.effort.steps)))


def longer(work: Stage) -> Stage:
    """A stage with twice the steps."""
    attack: Any = work.attack  # every attack with gradients has steps
    return replace(work, attack=replace(attack, steps=2 * attack.steps))


def other_attack_checks(
    subject: Subject, robust: Flags, surrogate: Model | None
) -> Iterator[Check]:
    """A5 to A8, A11, A12 and R1 to R3, on examples that the white-box attack left."""
    rows = robust.nonzero().flatten()[: subject.effort.remaining]
    left, n = subject.some(rows), len(subject)
    if not len(left):
        ids = ("A5", "A6", "A7", "A8", "A11", "A12", "R1", "R2", "R3")
        yield from (RULES[id_].skipped("the white-box attack broke every example") for id_ in ids)
        return
    last = _stages(left)[-1]
    yield RULES["A5"].counted(_broken(survivors(left, longer(last))), n)
    yield RULES["A6"].counted(_broken(survivors(left, replace(last, restarts=2), attempt=100)), n)
    yield RULES["A7"].counted(int(single_step(left).sum()), n)
    square = Stage(Square(queries=subject.effort.queries))
    yield RULES["A8"].counted(_broken(survivors(left, square)), n)
    yield RULES["A11"].counted(int(by_chance(left).sum()), n)
    if surrogate is None:
        yield RULES["A12"].skipped("no surrogate was trained")
    else:
        yield RULES["A12"].counted(int(transferred(left, surrogate).sum()), n)
    yield from repairs(left, n)


def _broken(robust: Flags) -> int:
    return int((~robust).sum())


def by_chance(subject: Subject) -> Flags:
    """Flags (n,): one of many random points of the ball is misclassified."""
    geometry, threat = GEOMETRY[subject.threat.norm], subject.threat
    keys = random_streams.keys(subject.seed, subject.numbers, "chance")
    broken = torch.zeros_like(subject.y, dtype=torch.bool)
    for draw in range(subject.effort.draws):
        u = random_streams.uniform(random_streams.fold(keys, draw), *subject.x.shape[1:])
        delta = geometry.random(subject.x, u, threat.eps)
        broken |= subject.judge.wrong(subject.x + delta, subject.y)
    return broken


def transferred(subject: Subject, surrogate: Model) -> Flags:
    """Flags (n,): an adversarial example of the surrogate, found by margin ascent, transfers."""
    attack = MarginPGD(steps=40, slack=0.0, noise=1.0, targeted=False, name="transfer")
    broken = torch.zeros_like(subject.y, dtype=torch.bool)
    for restart in range(3):
        points = drive(surrogate, attack, subject.slots("transfer", restart), subject.threat)
        found, _ = subject.judge.adversarial(subject.x, points, subject.y, subject.threat)
        broken |= found
    return broken


def repairs(subject: Subject, n: int) -> Iterator[Check]:
    """R1 to R3: examples broken when stepped functions pass gradients on, when float64 replaces
    float32, or when gradients are averaged over a neighbourhood. Values are shares of `n`."""
    work = _repair_stage(subject)
    straight = Proposer(straight_through(subject.model))
    yield RULES["R1"].counted(_broken(survivors(subject, work, straight)), n)
    yield _in_float64(subject, work, n)
    averaged = replace(
        work, targets=1, repeats=subject.effort.averaged, blur=neighbourhood(subject)
    )
    yield RULES["R3"].counted(_broken(survivors(subject, averaged)), n)


def _repair_stage(subject: Subject) -> Stage:
    """The suite's last stage over a repaired model without averaged gradients."""
    stages = get("crossfire")(subject.threat.norm, subject.classes)
    repairing = [work for work in stages if work.repair and work.repeats == 1]
    return _capped(subject, replace(repairing[-1], targets=2))


def _in_float64(subject: Subject, work: Stage, n: int) -> Check:
    rule = RULES["R2"]
    try:
        exact = Proposer(copy.deepcopy(subject.model).double(), torch.float64)
        exact.logits(subject.x[:2])
    except (RuntimeError, TypeError, ValueError) as error:
        return rule.skipped(f"the model does not run in float64 ({type(error).__name__})")
    return rule.counted(_broken(survivors(subject, work, exact)), n)

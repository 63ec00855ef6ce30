"""Checks of the attack's optimisation: the indicators of attack failure (Pintor et al. 2022) and
the sanity checks of Athalye et al. 2018 and Carlini et al. 2019."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from bench.attacks.base import query
from bench.attacks.pgd import PGD
from bench.diagnosis.rules import RULES
from bench.diagnosis.subject import Path, Subject, survivors
from bench.evaluation.suites import Stage
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from bench.types import Flags
from leaderboard.diagnosis import Check

FACTORS = (Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(4))
STRAIGHT = 0.02
"""A curve whose largest height above its chord is less has no break point."""


def optimisation_checks(subject: Subject, path: Path) -> Iterator[Check]:
    """A18, A3, A4, A20, A21, A9, A10 and A19, given the path of PGD-100."""
    yield RULES["A18"].found(_share(~path.finite))
    yield RULES["A3"].found(_share(path.found & ~path.last))
    left = ~path.found
    losses = rescaled(path.losses[:, left])
    shape = {"A4": incomplete(losses), "A20": unbroken(losses), "A21": falling(losses)}
    for id_, shown in shape.items():
        if len(shown) < 5:
            yield RULES[id_].skipped("PGD-100 leaves almost none")
        else:
            yield RULES[id_].among(_share(shown), len(shown))
    yield RULES["A9"].among(_reversal(subject), len(subject))
    yield RULES["A10"].among(_unbounded(subject), len(subject))
    if subject.threat.norm == "l1":
        yield RULES["A19"].skipped("one step in ℓ1 moves a few pixels only")
    else:
        missed = path.found & ~single_step(subject)
        yield RULES["A19"].among(_share(missed), len(subject))


def _share(flags: Flags) -> float:
    return float(flags.float().mean()) if len(flags) else 0.0


def rescaled(losses: Float[Tensor, "t n"]) -> Float[Tensor, "t n"]:
    """Each example's losses scaled to [0, 1]; 0 if all are equal."""
    if not losses.numel():
        return losses
    low, high = losses.amin(0), losses.amax(0)
    return ((losses - low) / (high - low).clamp_min(1e-30)).nan_to_num(0)


def incomplete(losses: Float[Tensor, "t n"]) -> Flags:
    """Whether the best loss so far rises by more than 0.05 over the last 10 steps (Pintor et al.
    2022, indicator of incomplete optimisation)."""
    best = losses.cummax(0).values
    return best[-1] - best[-10] > 0.05


def unbroken(losses: Float[Tensor, "t n"]) -> Flags:
    """Whether the curve of the best loss against the step, both from 0 to 1, has no break point.

    The break point is where the curve is highest above the line from its first point to its last.
    The angle there is near 90° if the ascent converged, and near 180° if the loss still rises. An
    angle above 150° counts as no break point.
    """
    best = losses.cummax(0).values
    best = (best - best[0]) / (best[-1] - best[0]).clamp_min(1e-30)
    time = torch.linspace(0, 1, len(best), device=best.device)[:, None]
    place = (best - time).argmax(0)
    t, b = time[place, 0], best.gather(0, place[None])[0]
    into = torch.stack([-t, -b])
    out = torch.stack([1 - t, 1 - b])
    cosine = torch.cosine_similarity(into, out, dim=0, eps=1e-12)
    straight = (b - t) < STRAIGHT
    return straight | (torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))) > 150)


def falling(losses: Float[Tensor, "t n"]) -> Flags:
    """Whether more than half of the loss's total variation is downwards."""
    change = losses.diff(dim=0)
    return -change.clamp_max(0).sum(0) > 0.5 * change.abs().sum(0)


def single_step(subject: Subject) -> Flags:
    """Which examples one step of ε along the gradient of the cross-entropy breaks (FGSM)."""
    gradient = query(subject.model, PGD(), subject.slots("fgsm")).ascent
    geometry = GEOMETRY[subject.threat.norm]
    step = geometry.full_step(subject.x, gradient, subject.threat.eps)
    return subject.judge.wrong(subject.x + step, subject.y)


def _reversal(subject: Subject) -> float:
    """The largest increase of robust accuracy from one ε to the next larger one, each attacked on
    its own."""
    attack = Stage(PGD(steps=subject.effort.steps // 4, name="pgd"))
    threat = subject.threat
    accuracies = [
        _share(survivors(subject.under(scaled(threat, factor)), attack)) for factor in FACTORS
    ]
    return max(0.0, *(b - a for a, b in pairwise(accuracies)))


def scaled(threat: Threat, factor: Fraction) -> Threat:
    """The threat with ε times a factor."""
    epsilon = threat.epsilon * factor
    return Threat(threat.norm, epsilon, str(epsilon))


def everything(threat: Threat, pixels: int) -> Threat:
    """A threat of that norm which allows every image."""
    epsilon = {"linf": Fraction(1), "l2": Fraction(pixels**0.5).limit_denominator(1000) + 1}
    chosen = epsilon.get(threat.norm, Fraction(pixels))
    return Threat(threat.norm, chosen, str(chosen))


def _unbounded(subject: Subject) -> float:
    """Share of the examples that PGD leaves when every image is allowed; in ℓ∞ also the share that
    it leaves at ε = 1/2, where the grey image is allowed, less the accuracy of guessing."""
    free = everything(subject.threat, subject.x[0].numel())
    left = _share(_by_small_steps(subject.under(free)))
    if subject.threat.norm != "linf":
        return left
    half = _share(_by_small_steps(subject.under(Threat.parse("linf:1/2"))))
    return max(left, half - 1 / subject.classes)


def _by_small_steps(subject: Subject) -> Flags:
    steps = subject.effort.steps // 2
    return survivors(subject, Stage(PGD(steps=steps, step_size=2 / steps, name="pgd")))

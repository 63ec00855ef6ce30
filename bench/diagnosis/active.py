"""The active test (Zimmermann et al. 2022, "Increasing Confidence in Adversarial Robustness
Evaluations"): does the attack find an adversarial example that is known to exist?

For each image a linear classifier (the readout) of the model's features is fitted that separates
one point on the boundary of the threat, the planted point, from many points well inside. The
planted point is then an adversarial example of the readout. If the attack does not find any, its
failure on the model itself is no evidence of robustness.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.attacks.margin import MarginPGD
from bench.attacks.pgd import PGD
from bench.compute import random_streams
from bench.diagnosis.rules import RULES
from bench.diagnosis.subject import Subject, follow
from bench.threats.geometry import GEOMETRY, Points
from leaderboard.diagnosis import Check

INSIDE = 0.95
"""Radius of the inner points as a share of ε."""
PLACE = 0.5
"""Position of the readout's threshold between the largest inner value and the planted point's."""
TRIVIAL = 0.5
"""If random points succeed on more than this share of images, the task is too easy."""

Features = Callable[[Points], Float[Tensor, "n p"]]


def active_test(subject: Subject) -> Check:
    """S1: share of planted adversarial examples that the attack does not find."""
    chosen = torch.arange(min(subject.effort.planted, len(subject)))
    rule, some = RULES["S1"], subject.some(chosen)
    features, where = features_of(subject.model, some.x)
    readout, usable = fit(some, features)
    if int(usable.sum()) < 8:
        return rule.skipped(f"no linear readout of the {where} separates the planted points")
    task = task_of(some.some(usable), readout.rows(usable))
    by_chance = float(randomly_found(task).float().mean())
    if by_chance > TRIVIAL:
        return rule.skipped(f"random search finds {by_chance:.0%} of the planted points too")
    missed = 1 - float(attacked(task).float().mean())
    advice = (
        "" if where == "features" else f"{rule.advice} (tested at the {where}: no linear layer)"
    )
    return rule.among(missed, int(usable.sum()), advice)


def features_of(model: nn.Module, x: Points) -> tuple[Features, str]:
    """The input of the last linear layer as a function of images; without such a layer, the
    logits."""
    seen: list[tuple[nn.Linear, tuple[int, ...]]] = []

    def note(layer: nn.Module, inputs: tuple[Any, ...], _: Any) -> None:  # noqa: ANN401
        if isinstance(layer, nn.Linear):
            seen.append((layer, tuple(inputs[0].shape)))

    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in linear]
    with torch.no_grad():
        logits = model(x)
    for hook in hooks:
        hook.remove()
    if not seen or seen[-1][1][0] != len(x) or seen[-1][0].out_features != logits.shape[1]:
        return (lambda points: model(points).flatten(1)), "logits"
    return (lambda points: _input_of(model, seen[-1][0], points)), "features"


def _input_of(model: nn.Module, layer: nn.Linear, points: Points) -> Float[Tensor, "n p"]:
    caught: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
    try:
        model(points)
    finally:
        hook.remove()
    return caught[-1].flatten(1)


@dataclass(frozen=True)
class Readout:
    """For each image a linear function of features (n, p): positive at the planted point, negative
    at all inner points."""

    features: Features
    weight: Float[Tensor, "n p"]
    bias: Float[Tensor, " n"]

    def rows(self, which: Tensor) -> "Readout":
        """The readouts of some images."""
        return Readout(self.features, self.weight[which], self.bias[which])


class Task(nn.Module):
    """Two logits per point, 0 and the readout's value; row i must be a point of image i."""

    def __init__(self, readout: Readout) -> None:
        super().__init__()
        self.readout = readout

    def forward(self, points: Points) -> Float[Tensor, "n 2"]:
        """Images (n, c, h, w) -> logits (n, 2); class 1 is the planted point's."""
        value = (self.readout.features(points) * self.readout.weight).sum(1) + self.readout.bias
        return torch.stack([torch.zeros_like(value), value], 1)


def fit(subject: Subject, features: Features) -> tuple[Readout, Tensor]:
    """A readout for each image, and the images (flags) whose planted point it separates."""
    keys = random_streams.keys(subject.seed, subject.numbers, "active")
    planted = features(on_the_boundary(subject, random_streams.fold(keys, "planted"))).detach()
    with torch.no_grad():
        inner = torch.stack(
            [
                features(inside(subject, random_streams.fold(keys, draw), INSIDE))
                for draw in range(subject.effort.inner)
            ]
        )
    centre, spread = inner.mean(0), inner.std(0)
    least = 1e-3 * spread.amax(1, keepdim=True)
    weight = (planted - centre) / (spread + least + 1e-12).square()
    weight = weight / weight.norm(dim=1, keepdim=True).clamp_min(1e-30)
    values, top = (inner * weight).sum(2).amax(0), (planted * weight).sum(1)
    gap = top - values
    unit = 1 / gap.clamp_min(1e-30)
    bias = -(values + PLACE * gap) * unit
    return Readout(features, weight * unit[:, None], bias), gap > 1e-6 * top.abs()


def inside(subject: Subject, keys: Tensor, share: float) -> Points:
    """A random point of each image's ball of `share` · ε; in ℓ∞ uniform."""
    u = random_streams.uniform(keys, *subject.x.shape[1:])
    eps = share * subject.threat.eps
    return subject.x + GEOMETRY[subject.threat.norm].random(subject.x, u, eps)


def on_the_boundary(subject: Subject, keys: Tensor) -> Points:
    """A random point on the surface of each image's ball, in the box; in ℓ∞ a corner."""
    geometry, eps = GEOMETRY[subject.threat.norm], subject.threat.eps
    u = random_streams.uniform(keys, *subject.x.shape[1:])
    delta = (2 * u - 1).sign() * eps if subject.threat.norm == "linf" else geometry.start(u, eps)
    return subject.x + geometry.project(subject.x, delta, eps)


def task_of(subject: Subject, readout: Readout) -> Subject:
    """The readouts as a two-class model, attacked from class 0."""
    zero = torch.zeros_like(subject.y)
    target_classes = torch.ones_like(zero)[:, None]
    task = Task(readout).eval()
    return replace(subject, model=task, y=zero, target_classes=target_classes, classes=2)


def randomly_found(task: Subject) -> Tensor:
    """Flags (n,): one of the random points of the ball lies beyond the readout's threshold."""
    keys = random_streams.keys(task.seed, task.numbers, "random search")
    found = torch.zeros_like(task.y, dtype=torch.bool)
    for draw in range(task.effort.search):
        point = inside(task, random_streams.fold(keys, draw), 1.0)
        with torch.no_grad():
            found |= task.model(point)[:, 1] > 0
    return found


def attacked(task: Subject) -> Tensor:
    """Flags (n,): PGD-100 or margin ascent finds a point beyond the threshold."""
    steps = task.effort.steps
    pgd = PGD(steps=steps, name="pgd-100")
    margin = MarginPGD(steps=steps // 2, slack=0.0, targeted=False, name="margin-again")
    return follow(task, pgd).found | follow(task, margin).found

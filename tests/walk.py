"""Runs an attack step by step and keeps all its states."""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.attacks.base import Attack, Slots, query
from bench.compute import random_streams
from bench.losses import margin
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY

Model = Callable[[Tensor], Tensor]


def fresh(x: Tensor, y: Tensor, target: Tensor | None = None, seed: int = 0) -> Slots:
    """Slots whose random streams are keyed by their position in the batch."""
    key = random_streams.keys(seed, torch.arange(len(x)), "test")
    return Slots.fresh(x, y, y if target is None else target, key)


def walk(model: Model, attack: Attack, slots: Slots, threat: Threat) -> list[Slots]:
    """The slots at each query, and at the end."""
    path = [attack.start(slots, threat)]
    while not bool(path[-1].done.all()):
        path.append(attack.step(path[-1], query(model, attack, path[-1]), threat))
    return path


def inside(slots: Slots, threat: Threat) -> Tensor:
    """Flags (n,) of the points in ball (float64, up to rounding) and box."""
    distance = GEOMETRY[threat.norm].distance(slots.point.double() - slots.x.double())
    box = ((slots.point >= 0) & (slots.point <= 1)).flatten(1).all(1)
    return box & (distance <= threat.eps * (1 + 1e-6) + 1e-7 * (threat.norm != "l1"))


def least_margins(model: Model, path: list[Slots], threat: Threat) -> Tensor:
    """The least z_y − max z_j of each slot over the points of its path that lie in the threat."""
    margins = [
        (-margin(model(s.point), s.y)).masked_fill(~inside(s, threat), torch.inf) for s in path
    ]
    return torch.stack(margins).amin(0)


def target_classes(model: Model, x: Tensor, y: Tensor) -> Tensor:
    """The wrong classes of each example by decreasing logit, (n, k − 1)."""
    return model(x).scatter(1, y[:, None], -torch.inf).argsort(1, descending=True)[:, :-1]

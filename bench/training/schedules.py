"""Learning rates over the course of a run, as fractions of the highest one."""

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Literal

Schedule = Literal["cyclic", "cosine", "steps", "constant"]


def cyclic(done: float) -> float:
    """Linear from 0 to 1 over the first 40 %, and down to 0 (Wong et al. 2020)."""
    return done / 0.4 if done < 0.4 else (1 - done) / 0.6


def cosine(done: float) -> float:
    """From 1 down to 0 along half a cosine."""
    return (1 + math.cos(math.pi * done)) / 2


def constant(done: float) -> float:
    """1 throughout."""
    return 1.0


SCHEDULES: dict[Schedule, Callable[[float], float]] = {
    "cyclic": cyclic,
    "cosine": cosine,
    "constant": constant,
}


def factor(
    schedule: Schedule, epoch: int | float, epochs: int, drops: tuple[int | float, ...]
) -> float:
    """The fraction of the learning rate at `epoch`, which counts parts of an epoch too.

    `steps` divides by 10 at each epoch of `drops`.
    """
    if schedule == "steps":
        return float(0.1 ** bisect_right(drops, epoch))
    return SCHEDULES[schedule](epoch / epochs)

"""Schedules: the learning rate during a run, as a fraction of the highest one."""

import math
from bisect import bisect_right
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

Schedule = Literal["cyclic", "triangle", "two-slopes", "cosine", "steps", "constant"]


def piecewise_linear(*points: tuple[int | float, int | float]) -> Callable[[float], float]:
    """Straight lines through the points (share of the run, fraction of the highest rate)."""

    def rate(progress: float) -> float:
        for (start, low), (end, high) in pairwise(points):
            if progress <= end:
                return low + (high - low) * (progress - start) / (end - start)
        return points[-1][1]

    return rate


def cosine(progress: float) -> float:
    """From 1 down to 0 along half a cosine."""
    return (1 + math.cos(math.pi * progress)) / 2


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


SCHEDULES: dict[Schedule, Callable[[float], float]] = {
    # Up during 40 % of the run and down to 0, as in the code of Andriushchenko & Flammarion 2020.
    "cyclic": piecewise_linear((0, 0), (0.4, 1), (1, 0)),
    # Up during half of the run, as in the code of Wong et al. 2020.
    "triangle": piecewise_linear((0, 0), (0.5, 1), (1, 0)),
    # Down in two linear parts, as in the code of Maini et al. 2020.
    "two-slopes": piecewise_linear((0, 0), (0.4, 1), (0.8, 0.05), (1, 0)),
    "cosine": cosine,
    "constant": constant,
}


def factor(
    schedule: Schedule, epoch: int | float, epochs: int, drops: tuple[int | float, ...]
) -> float:
    """The fraction of the highest learning rate after `epoch` epochs, which may be fractional.

    `steps` divides by 10 once the epochs of `drops` are over: with 74, in the 75th epoch.
    """
    if schedule == "steps":
        return float(0.1 ** bisect_right(drops, epoch))
    return SCHEDULES[schedule](epoch / epochs)


def idle_drops(schedule: Schedule, epochs: int, drops: tuple[int | float, ...]) -> str | None:
    """Why no drop ever changes the rate, in words; None if there are none, or one does."""
    if drops and schedule != "steps":
        return f"drops are without effect in the schedule {schedule}; add --schedule steps"
    if drops and min(drops) >= epochs:
        return f"drops are without effect: the first is after epoch {min(drops):g} of {epochs}"
    return None

"""Roots of monotone functions of one variable, one function per example, for a batch at once.

`scipy.optimize.elementwise.find_root` does the same for numpy arrays, but its result may lie on
either side of the root (a projection must stay inside the ball), it takes about 1.6 times as long
for the ℓ1 projection of a batch (benchmarks/root_finding.py), and it does not run on a GPU.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import numpy
import torch
from jaxtyping import Float
from torch import Tensor

Column = Any
"""Shape (n, 1), a numpy array or a torch tensor: the functions used here have the same names."""


FIXED = 44
"""Iterations on a GPU: enough for the heavy tails of ℓ1 perturbations under small budgets."""


def find_root(
    value: Callable[[Tensor], Tensor],
    goal: Float[Tensor, "n 1"],
    inside: Float[Tensor, "n 1"],
    outside: Float[Tensor, "n 1"],
    precision: float = 1e-5,
    power: float = 0.5,
) -> Float[Tensor, "n 1"]:
    """Per row, the point between `inside` and `outside` at which a monotone `value` reaches `goal`.

    `value` is at most `goal` at `inside`. At the result it is at most `goal`, up to rounding, and
    smaller by at most a share `precision`, unless `value` jumps. If `outside` also satisfies
    `goal`, the result is `outside`. The search runs on `value ** power`, which is closer to linear
    than the tails of sums. A row's result does not depend on the other rows.
    """

    def of_tensors(at: Column) -> Column:
        return value(at) ** power

    def of_arrays(at: Column) -> Column:
        return value(torch.from_numpy(at)).numpy() ** power

    height, precision = goal**power, precision * power
    if goal.device.type != "cpu":
        return cast(Tensor, _search(of_tensors, height, inside, outside, precision, FIXED, torch))
    # On arrays this small numpy is several times faster than torch.
    columns = (height.numpy(), inside.numpy(), outside.numpy())
    return torch.from_numpy(_search(of_arrays, *columns, precision, 60, numpy))


def _search(
    value: Callable[[Column], Column],
    height: Column,
    inside: Column,
    outside: Column,
    precision: float,
    iterations: int,
    xp: ModuleType,
) -> Column:
    """The points at which `value` is at most `height`, and smaller by at most a share `precision`.

    Regula falsi with the Illinois rule (Dowell & Jarratt 1971: the residual of an end that is kept
    twice is halved), with a bisection at every second iteration from the 13th on. A converged row
    no longer changes. numpy stops when all rows have converged; on a GPU that test would
    synchronise, so all iterations run.
    """
    lower, upper = value(inside) - height, value(outside) - height
    converged = before = upper <= 0
    inside = xp.where(converged, outside, inside)
    converged = converged | (lower >= -precision * height)
    for iteration in range(iterations):
        if xp is numpy and converged.all():
            break
        share = lower / (lower - upper).clip(max=-1e-30)
        share = xp.full_like(share, 0.5) if iteration >= 12 and iteration % 2 else share
        trial = xp.where(converged, inside, inside + (outside - inside) * share)
        now = value(trial) - height
        beyond = now > 0
        again = (beyond == before) & (iteration > 0)
        lower = xp.where(beyond, xp.where(again, lower / 2, lower), now)
        upper = xp.where(beyond, now, xp.where(again, upper / 2, upper))
        inside, outside = xp.where(beyond, inside, trial), xp.where(beyond, trial, outside)
        converged = converged | (~beyond & (now >= -precision * height))
        if iteration >= 8:  # where `value` jumps, the bracket itself becomes small
            converged = converged | (abs(outside - inside) <= 0.024 * precision * abs(outside))
        before = beyond
    return inside

"""Where a sum over pixels comes to a goal: one number an example, found for all at once."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import numpy
import torch
from jaxtyping import Float
from torch import Tensor

Column = Any
"""Shape (n, 1), of numpy's or torch's numbers: both call what is needed here the same."""


def cross(
    value: Callable[[Tensor], Tensor],
    goal: Float[Tensor, "n 1"],
    inside: Float[Tensor, "n 1"],
    outside: Float[Tensor, "n 1"],
    precision: float = 1e-5,
    power: float = 0.5,
) -> Float[Tensor, "n 1"]:
    """Where a monotone `value` that is at most `goal` at `inside` comes to it on the way `outside`.

    The result's value is at most the goal but for rounding, and less by a share of `precision` at
    most, unless the value jumps; it is `outside` if that end is within the goal. Values are
    compared by a power of them, which straightens the tails of sums. Rows don't depend on each
    other.
    """

    def raised(at: Column) -> Column:
        return value(at) ** power

    def numbers(at: Column) -> Column:
        return value(torch.from_numpy(at)).numpy() ** power

    height, precision = goal**power, precision * power
    if goal.device.type != "cpu":
        return cast(Tensor, _search(raised, height, inside, outside, precision, 20, torch))
    # On so few numbers numpy is several times faster than torch.
    columns = (height.numpy(), inside.numpy(), outside.numpy())
    return torch.from_numpy(_search(numbers, *columns, precision, 60, numpy))


def _search(
    value: Callable[[Column], Column],
    height: Column,
    inside: Column,
    outside: Column,
    precision: float,
    turns: int,
    xp: ModuleType,
) -> Column:
    """Where `value` is `height` or less by a share of `precision` at most.

    Regula falsi with the Illinois rule (Dowell & Jarratt 1971: the gap of an end that stays twice
    counts half); bisection helps where it is slow. A settled row repeats itself. numpy stops
    when all rows have settled; on a device not asking is faster.
    """
    lower, upper = value(inside) - height, value(outside) - height
    settled = before = upper <= 0
    inside = xp.where(settled, outside, inside)
    settled = settled | (lower >= -precision * height)
    for turn in range(turns):
        if xp is numpy and settled.all():
            break
        share = lower / (lower - upper).clip(max=-1e-30)
        share = xp.full_like(share, 0.5) if turn >= 12 and turn % 2 else share
        trial = xp.where(settled, inside, inside + (outside - inside) * share)
        now = value(trial) - height
        beyond = now > 0
        again = (beyond == before) & (turn > 0)
        lower = xp.where(beyond, xp.where(again, lower / 2, lower), now)
        upper = xp.where(beyond, now, xp.where(again, upper / 2, upper))
        inside, outside = xp.where(beyond, inside, trial), xp.where(beyond, trial, outside)
        settled = settled | (~beyond & (now >= -precision * height))
        if turn >= 8:  # at a jump the ends meet
            settled = settled | (abs(outside - inside) <= 0.024 * precision * abs(outside))
        before = beyond
    return inside

"""Which rows of a table differ: every pair tested, corrected for the number of pairs.

Holm's method (1979) keeps the probability of even one false difference in the table at most 5 %.
From it follow ranks: a row's rank lies between 1 + the number of rows that are significantly better
and the number of rows - those that are significantly worse.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from leaderboard.seeds import SINGLE, Numbers, Runs, Stack, least_strength, p_value
from leaderboard.statistics import CONFIDENCE, sign_test

LEVEL = 1 - CONFIDENCE
"""Probability, at most, that a table without differences shows one."""

_BLOCK = 256
"""Rows compared at a time, to limit memory."""
_FEW = 5_000
"""Up to so many pairs each p-value is computed; for more, strengths are compared to a bound."""


class Ranks(NamedTuple):
    """The range of ranks of a row."""

    low: int
    """The best one: 1 + how many rows are significantly better."""
    high: int
    """The worst one: the number of rows - how many are significantly worse."""


class _Block(NamedTuple):
    """Some rows against themselves and all worse ones."""

    first: int
    strength: Numbers
    key: Numbers


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of `p_values`; significant below 5 %."""
    adjusted, worst = [0.0] * len(p_values), 0.0
    for place, k in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[k]))
        adjusted[k] = worst
    return adjusted


def ranks(rows: Sequence[Runs]) -> list[Ranks]:
    """The ranks of rows that come best first."""
    better, worse = np.zeros(len(rows), int), np.zeros(len(rows), int)
    if len(rows) > 1:
        blocks = list(_blocks(rows))
        for block, differ in zip(blocks, _rejected(blocks, len(rows)), strict=True):
            worse[block.first : block.first + len(differ)] += differ.sum(axis=1)
            better[block.first :] += differ.sum(axis=0)
    return [
        Ranks(1 + int(above), len(rows) - int(below))
        for above, below in zip(better, worse, strict=True)
    ]


def _blocks(rows: Sequence[Runs]) -> Iterator[_Block]:
    """Each pair of rows once; all other entries have strength −∞."""
    stack = Stack(rows)
    for first in range(0, len(rows), _BLOCK):
        pairs = stack.pairs(slice(first, first + _BLOCK), slice(first, None))
        pairs.strength[np.tril_indices(len(pairs.strength))] = -np.inf
        yield _Block(first, pairs.strength, pairs.key.astype(np.min_scalar_type(pairs.key.max())))


def _rejected(blocks: list[_Block], rows: int) -> Iterable[Numbers]:
    """Of each block, the pairs that differ."""
    pairs = rows * (rows - 1) // 2
    if pairs > _FEW:
        bound = _bound(blocks, pairs)
        return (block.strength >= bound.take(block.key) for block in blocks)
    tested = [np.isfinite(block.strength) | (block.strength > 0) for block in blocks]
    found = [
        p_value(float(strength), int(key))
        for block, some in zip(blocks, tested, strict=True)
        for strength, key in zip(block.strength[some], block.key[some], strict=True)
    ]
    differ = iter(np.array(holm(found)) < LEVEL)
    for some in tested:
        some[some] = [next(differ) for _ in range(int(some.sum()))]
    return tested


def _bound(blocks: list[_Block], pairs: int) -> Numbers:
    """The smallest significant strength, by key.

    Holm's steps all at once: while some pairs are rejected, the others are as many fewer tests.
    """
    present = np.zeros(1 + max(int(block.key.max()) for block in blocks), bool)
    for block in blocks:
        present[block.key] = True
    keys = [int(key) for key in np.flatnonzero(present)]
    rejected, before = 0, -1
    while rejected > before:
        bound = _strengths(keys, LEVEL / max(1, pairs - rejected))
        before = rejected
        found = (block.strength >= bound.take(block.key) for block in blocks)
        rejected = sum(int(np.count_nonzero(differ)) for differ in found)
    return bound


def _strengths(keys: list[int], level: float) -> Numbers:
    """The strength at which p is `level`, by key."""
    bound = np.full(keys[-1] + 1, np.inf, np.float32)
    fewer = -1
    for key in keys:
        if key < SINGLE:
            bound[key] = least_strength(level, key)
            continue
        while 2 * (fewer + 1) <= key - SINGLE and sign_test(fewer + 1, key - SINGLE) < level:
            fewer += 1
        bound[key] = -fewer if fewer >= 0 else np.inf
    return bound

"""Recipes with several runs: intervals and tests over images *and* seeds.

Every run of every recipe saw the same images. Whether run s of recipe r gets image i right is

    y(r, s, i) = accuracy(r) + image(i) + recipe x image(r, i) + seed(r, s) + rest(r, s, i)

with random images, seeds and rest: the two-way model of images crossed with recipes and seeds
nested in them. Hence the variance of a difference of two accuracies is estimated by a sum,

    variance of the images' differences / n  +  variance of the seeds' means / number of seeds

and the difference over its root is compared with a normal number plus Student's t, in the
proportion of the two terms (Behrens-Fisher): there are many images, and few seeds. `rest` is
counted in both terms, which makes the test conservative.

One number of degrees of freedom for the whole sum (Satterthwaite 1946) would be simpler and is
wrong in the tail, where the tests of a whole table are made: seeds that agree by chance would make
few seeds count as many. For a like reason the first term is at least that of one image, 1 / n²:
images on which all runs agree by chance would make any difference certain.

- Two recipes with the same seeds, three or more: the second term is that of the differences seed
  by seed, because a seed fixes the first weights and the order of batches for both.
- Other seeds: Student's t has the degrees of freedom of the recipe with fewer (Hsu 1938).
- One run against several: its seeds are taken to vary as the other's.
- One run against one: the variance over seeds is unknown; McNemar's exact test compares the two
  models.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leaderboard.flags import count, number
from leaderboard.statistics import CONFIDENCE, Interval, sign_test, smallest_gap, wilson
from leaderboard.student import quantile, two_sided

Numbers = NDArray[Any]

MOST_FREEDOM = 100
"""The largest number of degrees of freedom; the quantile at 5 % of more is at most 1 % smaller."""

SHARES = 32
"""The seeds' share of the variance is rounded up to a multiple of 1 / SHARES, so that many pairs
have one distribution."""

SINGLE = (MOST_FREEDOM + 1) * (SHARES + 1)
"""The smallest key of two single runs."""

_ROUNDING = 1e-3
"""Of a share in `SHARES`, which rounding must not raise to the next one."""

PAIRED = 3
"""The fewest common seeds by which two recipes are paired: with two, one degree of freedom is left
either way, and unpaired they are compared more sharply."""


@dataclass(frozen=True)
class Runs:
    """The runs of one recipe on the same images, in one column of a table."""

    flags: tuple[str, ...]
    """Packed flags of each run; never empty."""
    examples: int
    """Number of images."""
    seeds: tuple[Hashable, ...] = ()
    """The seed of each run, in the same order; empty when unknown."""

    @property
    def accuracy(self) -> float:
        """Mean over the runs, in [0, 1]."""
        return sum(map(count, self.flags)) / len(self.flags) / self.examples


class Difference(NamedTuple):
    """Two recipes, or two models, on the same images."""

    gap: float
    """Accuracy of the first minus that of the second, in [-1, 1]."""
    p: float
    """Two-sided probability of so large a gap, were both equally good."""
    smallest: float | None
    """The smallest significant gap; None if not even the largest is."""

    @property
    def separated(self) -> bool:
        """Whether the single test is significant."""
        return self.p < 1 - CONFIDENCE


class Estimate(NamedTuple):
    """The mean accuracy of some runs, and its 95 % interval over images and seeds; in [0, 1]."""

    mean: float
    low: float
    high: float


def estimate(flags: Sequence[str], examples: int) -> Estimate:
    """The estimated accuracy of the recipe of some runs.

    The interval is Wilson's for a single run; for several that of Wilson with as many images as
    would have the estimated variance (an effective sample size, as in surveys), and with t for the
    normal quantile.
    """
    runs = [number(text) for text in flags]
    shares = [run.bit_count() / examples for run in runs]
    mean = sum(shares) / len(runs)
    return Estimate(mean, *_interval(runs, shares, mean, examples))


def _interval(runs: list[int], shares: list[float], mean: float, n: int) -> Interval:
    size = len(runs)
    if size == 1 or mean in (0, 1):
        return wilson(n * mean, n)
    both = sum((a & b).bit_count() for k, a in enumerate(runs) for b in runs[:k])
    squares = (n * sum(shares) + 2 * both) / size**2
    images = max(0.0, squares - n * mean**2) / (n * max(n - 1, 1))
    seeds = sum((share - mean) ** 2 for share in shares) / (size * (size - 1))
    variance = images + seeds
    if not variance:
        return wilson(n * size * mean, n * size)
    freedom = variance**2 / (images**2 / max(n - 1, 1) + seeds**2 / (size - 1))
    t = quantile(1 - CONFIDENCE, max(1, min(MOST_FREEDOM, int(freedom))))
    effective = min(n * size, mean * (1 - mean) / variance)
    return wilson(effective * mean, effective, t)


def compare_runs(a: Runs, b: Runs) -> Difference:
    """The test of two recipes on the same images.

    Raises:
        ValueError: the two saw different numbers of images.
    """
    pair = Stack([a, b]).pairs(slice(0, 1), slice(1, 2))
    gap, variance, strength, key = (float(values[0, 0]) for values in pair)
    smallest: float | None
    if len(a.flags) == len(b.flags) == 1:
        smallest = smallest_gap(int(key) - SINGLE, a.examples)
    else:
        smallest = math.sqrt(least_strength(1 - CONFIDENCE, int(key)) * variance)
    possible = smallest is not None and smallest <= 1
    return Difference(gap, p_value(strength, int(key)), smallest if possible else None)


def p_value(strength: float, key: int) -> float:
    """The p-value of one of `Pairs`."""
    if key >= SINGLE:
        return sign_test(round(-strength), key - SINGLE)
    freedom, share = divmod(key, SHARES + 1)
    return two_sided(math.sqrt(strength), freedom, share / SHARES)


def least_strength(p: float, key: int) -> float:
    """The strength whose p-value is `p`, of two rows of which one has several runs."""
    freedom, share = divmod(key, SHARES + 1)
    return quantile(p, freedom, share / SHARES) ** 2


class Pairs(NamedTuple):
    """Tests of rows against rows, each array of shape (rows, other rows).

    The larger `strength` is among pairs of one `key`, the smaller is p.
    """

    gap: Numbers
    """Differences in accuracy."""
    variance: Numbers
    """Of those, as estimated; unused for two single runs."""
    strength: Numbers
    """The square of the gap over the variance; for two single runs minus the smaller number of
    images that only one classifies correctly."""
    key: Numbers
    """The distribution: degrees of freedom times `SHARES` + 1, plus the seeds' share of the
    variance in `SHARES`; for two single runs `SINGLE` + the images on which they differ."""


class Stack:
    """Rows that saw the same images, ready to be compared pair by pair."""

    def __init__(self, rows: Sequence[Runs]) -> None:
        """Unpack the flags; thousands of rows are computed in single precision.

        Raises:
            ValueError: the rows saw different numbers of images.
        """
        self.n = rows[0].examples
        if any(row.examples != self.n for row in rows):
            raise ValueError("only rows that saw the same images can be compared")
        kind = np.float32 if len(rows) > 1000 else np.float64
        rows = [_sorted(row) for row in rows]
        size = np.array([len(row.flags) for row in rows])
        starts = np.cumsum(size) - size
        packed = np.frombuffer(bytes.fromhex("".join(f for row in rows for f in row.flags)), "u1")
        bits = np.unpackbits(packed.reshape(int(size.sum()), -1), axis=1, count=self.n)
        images = np.add.reduceat(bits, starts, axis=0, dtype=kind)
        images *= (1 / (size[:, None] * math.sqrt(self.n * max(self.n - 1, 1)))).astype(kind)
        accuracy = np.array([count(text) for row in rows for text in row.flags]) / self.n
        mean = np.add.reduceat(accuracy, starts) / size
        images -= images.mean(axis=1, keepdims=True)
        self.images = _Distances(images)
        self.mean, self.single, self.size = mean.astype(kind), size == 1, size
        self.freedom = np.clip(size - 1, 1, MOST_FREEDOM)
        offsets = np.zeros((len(rows), int(size.max())), kind)
        row = np.repeat(np.arange(len(rows)), size)
        offsets[row, np.arange(len(row)) - starts[row]] = accuracy - mean[row]
        scale = np.sqrt(size * np.maximum(size - 1, 1))
        self.seeds = _Distances(offsets / scale[:, None].astype(kind))
        self.group = np.array(_groups(rows))
        self.paired = len(set(self.group)) < len(rows)

    def pairs(self, i: slice, j: slice) -> Pairs:
        """The tests of rows `i` against rows `j`."""
        gap = self.mean[i, None] - self.mean[j]
        images = self.images(i, j)
        seeds, freedom = self._seeds(i, j)
        variance = np.maximum(images, 1 / self.n**2) + seeds
        strength = gap**2 / variance
        share = np.ceil(SHARES * (seeds / variance) - _ROUNDING)
        key = (freedom * (SHARES + 1) + share).astype(np.int32)
        if self.single.any():
            self._singles(i, j, Pairs(gap, variance, strength, key), images)
        return Pairs(gap, variance, strength, key)

    def _seeds(self, i: slice, j: slice) -> tuple[Numbers, Numbers]:
        """The seeds' part of the variance, and its degrees of freedom."""
        seeds = self.seeds.squares[i, None] + self.seeds.squares[j]
        one, other = self.single[i, None], self.single[j]
        freedom = np.minimum(self.freedom[i, None], self.freedom[j])
        if self.single.any():
            several = np.maximum(self.size[i, None], self.size[j])
            seeds *= np.where(one ^ other, several + 1, 1).astype(seeds.dtype)
            larger = np.maximum(self.freedom[i, None], self.freedom[j])
            np.copyto(freedom, larger, where=one ^ other)
        if self.paired:
            same = self.group[i, None] == self.group[j]
            np.copyto(seeds, self.seeds(i, j), where=same)
        return seeds, freedom

    def _singles(self, i: slice, j: slice, pairs: Pairs, images: Numbers) -> None:
        """Replace the tests of single runs against each other."""
        gap, _, strength, key = pairs
        both = self.single[i, None] & self.single[j]
        differ = np.rint(images * self.n * max(self.n - 1, 1) + self.n * gap**2)
        fewer = np.rint((differ - np.abs(self.n * gap)) / 2)
        np.copyto(strength, -fewer, where=both, casting="same_kind")
        np.copyto(key, SINGLE + differ.astype(np.int32), where=both)


class _Distances:
    """Squared distances between the rows of a matrix, from one product of matrices."""

    def __init__(self, rows: Numbers) -> None:
        self._rows, self.squares = rows, np.einsum("ij,ij->i", rows, rows)

    def __call__(self, i: slice, j: slice) -> Numbers:
        distances: Numbers = self._rows[i] @ self._rows[j].T
        distances *= -2
        distances += self.squares[i, None]
        distances += self.squares[j]
        return np.maximum(distances, 0, out=distances)


def in_order_of_seeds(row: Runs) -> list[int]:
    """The places of the runs in the order of their seeds, by which rows are paired; as they are if
    seeds are unknown."""
    places = range(len(row.flags))
    return sorted(places, key=lambda k: str(row.seeds[k])) if row.seeds else list(places)


def _sorted(row: Runs) -> Runs:
    """The row with its runs in the order of their seeds."""
    order = in_order_of_seeds(row)
    flags = tuple(row.flags[k] for k in order)
    return Runs(flags, row.examples, tuple(row.seeds[k] for k in order) if row.seeds else ())


def _groups(rows: Iterable[Runs]) -> list[int]:
    """A number for each row; those that are paired by their seeds have the same."""
    numbers: dict[Hashable, int] = {}
    return [
        numbers.setdefault(
            row.seeds if len(set(row.seeds)) == len(row.flags) >= PAIRED else (k, "alone"),
            len(numbers),
        )
        for k, row in enumerate(rows)
    ]

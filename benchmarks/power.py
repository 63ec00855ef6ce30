"""Error rate and power of the test that compares two recipes, and how many tables are wrong.

    python benchmarks/power.py

Simulates recipes by y = [level + image + recipe x image + seed + rest > 0] with normal terms. Their
accuracy is 20 %, with a standard deviation of two points between seeds; the better recipe has 25 %.
The seeds of two recipes are different, or equal; then half of their variance is shared. A table of
equal recipes is wrong if it shows any difference after Holm's correction.
"""

import itertools
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from leaderboard.flags import pack
from leaderboard.seeds import Runs, compare_runs, estimate
from leaderboard.separation import ranks

SEEDS, IMAGES, TRIALS = ((1, 1), (2, 2), (3, 3), (5, 5), (1, 3), (1, 5)), (256, 450, 1000), 1000
IMAGE, INTERACTION, SEED, REST = 1.0, 0.3, 0.09, 0.5
"""Standard deviations of the terms."""
LOW, HIGH, COMMON = 0.20, 0.25, 0.5
"""Accuracies of the worse and the better recipe; the share of variance that equal seeds have in
common."""
ROWS = 17
"""Recipes of a table."""
Bits = NDArray[np.bool_]


def draw(rng: np.random.Generator, runs: int, images: int, share: float) -> Bits:
    """Which images the runs of two recipes of accuracies `HIGH` and `LOW` get right, and those of a
    recipe like the second: shape (3, runs, images)."""
    whole = np.sqrt(IMAGE**2 + INTERACTION**2 + SEED**2 + REST**2)
    level = np.array([NormalDist().inv_cdf(p) * whole for p in (HIGH, LOW, LOW)])
    image = rng.normal(0, IMAGE, images) + rng.normal(0, INTERACTION, (3, 1, images))
    seed = rng.normal(0, np.sqrt(1 - share), (3, runs, 1)) + rng.normal(
        0, np.sqrt(share), (runs, 1)
    )
    rest = rng.normal(0, REST, (3, runs, images))
    found: Bits = level[:, None, None] + image + SEED * seed + rest > 0
    return found


def column(bits: Bits, first: int) -> Runs:
    """The runs in the table's format, with seeds from `first` on."""
    size, images = bits.shape
    return Runs(tuple(map(pack, bits)), images, tuple(range(first, first + size)))


def pooled(a: Bits, b: Bits) -> bool:
    """Whether McNemar's test finds a difference if each seed's images count as different images."""
    only = int((a & ~b).sum()), int((b & ~a).sum())
    return bool(sum(only)) and bool(binomtest(only[0], sum(only)).pvalue < 0.05)


def trial(rng: np.random.Generator, sizes: tuple[int, int], images: int) -> list[bool]:
    """One draw: whether each test finds a difference, and whether the interval has the true
    value."""
    one, other = sizes
    better, worse, equal = draw(rng, max(sizes), images, 0.0)
    shared = draw(rng, max(sizes), images, COMMON)
    alone = column(worse[:other], 0)
    low, high = estimate(alone.flags, images)[1:]
    return [
        compare_runs(column(equal[:one], 9), alone).separated,
        compare_runs(column(shared[2][:one], 0), column(shared[1][:other], 0)).separated,
        one == other and pooled(equal[:one], worse[:other]),
        compare_runs(column(better[:one], 9), alone).separated,
        compare_runs(column(shared[0][:one], 0), column(shared[1][:other], 0)).separated,
        low <= LOW <= high,
    ]


def wrong_table(rng: np.random.Generator, runs: int, images: int, share: float) -> bool:
    """Whether a table of `ROWS` equal recipes shows any difference."""
    whole = np.sqrt(IMAGE**2 + INTERACTION**2 + SEED**2 + REST**2)
    level = NormalDist().inv_cdf(LOW) * whole
    image = rng.normal(0, IMAGE, images) + rng.normal(0, INTERACTION, (ROWS, 1, images))
    seed = rng.normal(0, np.sqrt(1 - share), (ROWS, runs, 1))
    seed = seed + rng.normal(0, np.sqrt(share), (runs, 1))
    right = level + image + SEED * seed + rng.normal(0, REST, (ROWS, runs, images)) > 0
    order = np.argsort(-right.mean((1, 2)), kind="stable")
    rows = [column(right[k], 0 if share else runs * int(k)) for k in order]
    return any(found != (1, ROWS) for found in ranks(rows))


def main() -> None:
    """Print both tables, in percent of the trials."""
    pairs()
    print(f"\n| seeds | images | wrong tables of {ROWS}: other seeds | same seeds |")
    print("|--:|--:|--:|--:|")
    for runs, images in itertools.product((2, 3, 5), (450, 1000)):
        rng = np.random.default_rng([runs, images])
        wrong = [
            np.mean([wrong_table(rng, runs, images, share) for _ in range(TRIALS)]) * 100
            for share in (0.0, COMMON)
        ]
        print(f"| {runs} | {images:,} | {wrong[0]:.1f} | {wrong[1]:.1f} |", flush=True)


def pairs() -> None:
    """Print the table of single tests."""
    print(
        "| seeds | images | wrong: other seeds | same seeds | pooled | right: other seeds | ",
        end="",
    )
    print("same seeds | interval holds |\n|--:|--:|--:|--:|--:|--:|--:|--:|")
    for sizes, images in itertools.product(SEEDS, IMAGES):
        rng = np.random.default_rng([*sizes, images])
        rates = np.mean([trial(rng, sizes, images) for _ in range(TRIALS)], axis=0) * 100
        shares = [f"{rate:.1f}" for rate in rates]
        if sizes[0] != sizes[1]:
            shares[1] = shares[2] = shares[4] = "–"
        seeds = str(sizes[0]) if sizes[0] == sizes[1] else f"{sizes[0]} and {sizes[1]}"
        print(f"| {seeds} | {images:,} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()

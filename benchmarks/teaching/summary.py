"""Means over seeds with their intervals, and how many queries and bits a robustness takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from .study import Row

GOAL = 90.0
"""The robust accuracy, in percent, whose price is looked for."""


@dataclass(frozen=True)
class Mean:
    """A mean over seeds and half the width of its 95 % interval by Student's t, in percent."""

    value: float
    half: float

    def __str__(self) -> str:
        return f"{self.value:.1f} ± {self.half:.1f}"


def mean(percents: str) -> Mean:
    """Of percents with spaces between, one a seed."""
    values = np.array([float(word) for word in percents.split()])
    spread = values.std(ddof=1) / len(values) ** 0.5
    return Mean(float(values.mean()), float(t.ppf(0.975, len(values) - 1) * spread))


def difference(a: Row, b: Row, column: str = "robust") -> Mean:
    """a − b in percentage points, seed by seed: students of one seed share data and start."""
    pairs = zip(a[column].split(), b[column].split(), strict=True)
    return mean(" ".join(str(float(x) - float(y)) for x, y in pairs))


def problem(row: Row) -> tuple[str, ...]:
    """What tells problems apart: name, d, manifold, n and gap."""
    return tuple(row[name] for name in ("problem", "d", "manifold", "n", "gap"))


def problems(rows: Iterable[Row], name: str) -> list[tuple[str, ...]]:
    """Those of a name with several numbers of queries, in their order."""
    curves = {problem(row) for row in rows if row["arm"].endswith("adversarial soft")}
    order = dict.fromkeys(problem(row) for row in rows if row["problem"] == name)
    return [found for found in order if found in curves]


def in_order(found: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Problems by manifold and dimension, those with most data first."""
    return sorted(found, key=lambda one: (int(one[2]), int(one[1]), -int(one[3])))


def arms(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each arm, by number of queries."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: int(row["queries"])):
        found.setdefault(row["arm"], []).append(row)
    return found


def cheapest(rows: Sequence[Row], goal: float = GOAL) -> Row | None:
    """Of an arm's rows the one with fewest queries from which on the mean stays at the goal."""
    enough: Row | None = None
    for row in sorted(rows, key=lambda row: -int(row["queries"])):
        if mean(row["robust"]).value < goal:
            break
        enough = row
    return enough

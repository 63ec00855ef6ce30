"""What a record's evidence shows beyond its flags: curves over epsilon, and attack by attack."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.report.combined import under
from bench.report.wording import symbol
from leaderboard.budget import parse_threat
from leaderboard.flags import conjunction, count, unpack
from leaderboard.schema import Record
from leaderboard.statistics import Interval, wilson
from leaderboard.store import column

if TYPE_CHECKING:
    from pandas import DataFrame

GRID = 60
"""Points of a curve."""


class Point(NamedTuple):
    """A measured accuracy under one threat."""

    epsilon: float
    accuracy: float
    interval: Interval


class Curve(NamedTuple):
    """Accuracy against the size of the perturbation, for one norm.

    The line counts an example as broken from the smallest perturbation that was found for it.
    Attacks stop at the first one inside the budget, not at the smallest, so between measured points
    the true curve lies below the line.
    """

    norm: str
    line: list[tuple[float, float]]
    points: list[Point]


class Cascade(NamedTuple):
    """Examples still robust after each attack, in the order in which they ran."""

    kind: str
    """The norm, or `union`."""
    name: str
    steps: list[tuple[str, int]]


def read_table(board: Path, record: Record) -> "DataFrame | None":
    """A record's evidence table; None when it isn't there."""
    import pandas as pd

    path = record.evidence and board / record.evidence.table.file
    return pd.read_parquet(path) if path and path.exists() else None


def curves(record: Record, table: "DataFrame") -> list[Curve]:
    """One curve for each norm of the protocol."""
    norms: dict[str, list[str]] = {}
    for threat in record.protocol.threats:
        norms.setdefault(parse_threat(threat).norm, []).append(threat)
    return [Curve(norm, *_curve(record, table, threats)) for norm, threats in norms.items()]


def _curve(
    record: Record, table: "DataFrame", threats: list[str]
) -> tuple[list[tuple[float, float]], list[Point]]:
    n = record.data.examples
    names = [
        column(threat, suite, "norm") for threat in threats for suite in record.protocol.suites
    ]
    found = np.nan_to_num(table[names].to_numpy(dtype=float), nan=np.inf).min(axis=1)
    found[~unpack(record.clean, n)] = 0.0
    robust = record.clean
    points = [Point(0.0, count(robust) / n, wilson(count(robust), n))]
    for threat in sorted(threats, key=parse_threat):
        # What a smaller budget broke is broken under every larger one.
        robust = conjunction([robust, under(record, threat)])
        share, epsilon = count(robust) / n, float(parse_threat(threat).epsilon)
        points.append(Point(epsilon, share, wilson(count(robust), n)))
    grid = np.linspace(0, points[-1].epsilon, GRID)
    line = [(float(e), float((found > e).mean())) for e in grid[:-1]]
    return [*line, (points[-1].epsilon, points[-1].accuracy)], points


def cascades(record: Record, table: "DataFrame") -> list[Cascade]:
    """The cascade of each threat and suite, and the union taken threat by threat."""
    clean = count(record.clean)
    found = []
    for verdict in record.verdicts:
        threat, suite = verdict.threat, verdict.suite
        steps = [("clean", clean), *_cascade(table, threat, suite, clean)]
        found.append(Cascade(parse_threat(threat).norm, f"{symbol(threat)}, {suite}", steps))
    flags, steps = record.clean, [("clean", clean)]
    for threat in record.protocol.threats:
        flags = conjunction([flags, under(record, threat)])
        steps.append((symbol(threat), count(flags)))
    return [Cascade("union", "union", steps), *found] if len(steps) > 2 else found


def _cascade(table: "DataFrame", threat: str, suite: str, clean: int) -> list[tuple[str, int]]:
    attacks = table[column(threat, suite, "attack")]
    # The table doesn't hold the order of the attacks. The passes spent on the first example that an
    # attack broke include those of all attacks before it, so they grow in that order.
    first = table[column(threat, suite, "passes")].groupby(attacks).min().sort_values(kind="stable")
    broken = attacks.value_counts()[first.index].cumsum()
    return [(str(name), clean - int(total)) for name, total in broken.items()]

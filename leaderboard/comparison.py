"""Two models on the same examples, example by example."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from leaderboard.errors import LeaderboardError
from leaderboard.flags import count
from leaderboard.ranking import table_of
from leaderboard.schema import Record
from leaderboard.statistics import Paired, mcnemar, smallest_gap


class Comparison(NamedTuple):
    """One column of two records."""

    column: str
    """`clean`, `linf:8/255/pgd-100`, ..., or `union`."""
    a: float
    """Accuracy of the first model, in [0, 1]."""
    b: float
    """Accuracy of the second model, in [0, 1]."""
    paired: Paired
    """On how many examples they disagree, and whether that can be chance."""
    gap: float | None
    """The smallest difference in accuracy that this disagreement could have told apart."""


def compare(a: Record, b: Record) -> list[Comparison]:
    """Every column of two records of one table."""
    columns = zip(a.measured.items(), b.measured.values(), strict=True)
    return [_compare(name, first, second, a.data.examples) for (name, first), second in columns]


def _compare(column: str, a: str, b: str, n: int) -> Comparison:
    paired = mcnemar(a, b)
    gap = smallest_gap(paired.only_a + paired.only_b, n)
    return Comparison(column, count(a) / n, count(b) / n, paired, gap)


def pick(records: Iterable[Record], first: str, second: str) -> tuple[Record, Record]:
    """The newest two records of one table that `first` and `second` name, of one arithmetic if
    there are such.

    A record is named by the beginning of its id, its file, its model's name or its defense.

    Raises:
        LeaderboardError: a name fits no record, or no two that may be compared.
    """
    records = list(records)
    ours, theirs = find(records, first), find(records, second)
    pairs = [(a, b) for a in ours for b in theirs if table_of(a) == table_of(b) and a != b]
    if not pairs:
        raise LeaderboardError(
            f"'{first}' and '{second}' have no two records of the same data and protocol; "
            "evaluate both with the same options"
        )
    return max(pairs, key=_preference)


def _preference(pair: tuple[Record, Record]) -> tuple[bool, str, str]:
    a, b = pair
    return a.environment.precision == b.environment.precision, a.created, b.created


def find(records: Iterable[Record], name: str) -> list[Record]:
    """The records that a name fits.

    Raises:
        LeaderboardError: there is none.
    """
    stem = Path(name).stem if name.endswith(".json") else name
    found = [
        record
        for record in records
        if (len(stem) >= 4 and record.id.startswith(stem))
        or name in (record.model.name, record.model.called, record.model.defense)
    ]
    if not found:
        raise LeaderboardError(f"no record is named '{name}'; name an id, a model or a defense")
    return found

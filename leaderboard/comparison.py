"""Two rows on the same examples: recipes over their seeds, or single models example by example."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from leaderboard.errors import LeaderboardError
from leaderboard.flags import disagreements
from leaderboard.ranking import Row, table_of, tables
from leaderboard.schema import Record
from leaderboard.seeds import Difference, compare_runs


class Comparison(NamedTuple):
    """One column of two rows compared."""

    column: str
    """`clean`, `linf:8/255/pgd-100`, ..., or `union`."""
    a: float
    """Mean accuracy of the first row's runs, in [0, 1]."""
    b: float
    """Mean accuracy of the second row's runs, in [0, 1]."""
    difference: Difference
    """The difference, and the test of it."""
    only: tuple[int, int] | None
    """Number of examples that only the first and only the second model classifies correctly; None
    for several runs."""


def compare(a: Row, b: Row) -> list[Comparison]:
    """Every column of two rows of one table."""
    return [_compare(column, a, b) for column in a.head.measured]


def _compare(column: str, a: Row, b: Row) -> Comparison:
    one, other = a.column(column), b.column(column)
    single = len(a.runs) == len(b.runs) == 1
    only = disagreements(one.flags[0], other.flags[0]) if single else None
    return Comparison(column, one.accuracy, other.accuracy, compare_runs(one, other), only)


def pick(records: Iterable[Record], first: str, second: str) -> tuple[Row, Row]:
    """The newest two rows of one table that match `first` and `second` (see `find`), preferably of
    the same arithmetic.

    Raises:
        LeaderboardError: a name matches no row, or the matching rows have no common table.
    """
    records = list(records)
    ours, theirs = find(records, first), find(records, second)
    pairs = [
        (a, b)
        for a in ours
        for b in theirs
        if table_of(a.head) == table_of(b.head) and a.runs != b.runs
    ]
    if not pairs and ours == theirs:
        raise LeaderboardError(f"'{first}' and '{second}' name the same row; name another one")
    if not pairs:
        raise LeaderboardError(
            f"'{first}' and '{second}' have no two records of the same data and protocol; "
            "evaluate both with the same options"
        )
    return max(pairs, key=_preference)


def _preference(pair: tuple[Row, Row]) -> tuple[bool, str, str]:
    a, b = ({run.environment.precision for run in row.runs} for row in pair)
    return a == b, pair[0].head.created, pair[1].head.created


def find(records: Iterable[Record], name: str) -> list[Row]:
    """The rows that match a name: rows of this name, with or without an id behind it; or else
    single records, by the beginning of the id, the file or the model's name; or else the rows of a
    defense.

    Raises:
        LeaderboardError: there is none.
    """
    records = list(records)
    rows = [row for table in tables(records) for row in table.rows]
    stem = Path(name).stem if name.endswith(".json") else name
    single = [
        Row((record,), label=record.model.called)
        for record in records
        if (len(stem) >= 4 and record.id.startswith(stem))
        or name in (record.model.name, record.model.called)
    ]
    found = [row for row in rows if name in (row.label, row.label.partition(" [")[0])] or single
    found = found or [row for row in rows if row.name == name]
    if not found:
        raise LeaderboardError(f"no record is named '{name}'; name an id, a model or a defense")
    return found

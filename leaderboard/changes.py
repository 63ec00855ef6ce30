"""The differences between two states of a board: rows that entered, moved or left, and reasons."""

from collections.abc import Iterable
from typing import NamedTuple

from leaderboard.ranking import Row, Table, recipe, table_of, tables
from leaderboard.schema import Record
from leaderboard.separation import Ranks

Rows = dict[tuple[str, ...], Row]
"""The rows of all tables, by the key of table and row."""


class Change(NamedTuple):
    """One row that changed."""

    row: Row
    """The present row, or the former one if it left."""
    before: Ranks | None
    """Its former ranks; None if it had none."""
    after: Ranks | None
    """Its present ranks; None if it has none."""
    reasons: tuple[str, ...]
    """All reasons; never empty."""


def changes(before: Iterable[Record], after: Iterable[Record]) -> list[Change]:
    """The changed rows, table by table in the order of the later state."""
    old, new = _rows(tables(before)), _rows(tables(after))
    entered = {key for key in new if key not in old}
    found = [
        Change(new[key], old[key].ranks if key in old else None, new[key].ranks, reasons)
        for key in new
        if (reasons := _reasons(key, old, new, entered))
    ]
    left = [Change(old[key], old[key].ranks, None, ("left",)) for key in old if key not in new]
    return found + left


def _rows(all_tables: Iterable[Table]) -> Rows:
    return {(*table_of(row.head), recipe(row.head)): row for t in all_tables for row in t.rows}


def _reasons(
    key: tuple[str, ...], old: Rows, new: Rows, entered: set[tuple[str, ...]]
) -> tuple[str, ...]:
    row = new[key]
    if key in entered:
        return ("entered",)
    reasons = [*_measured(old[key], row), *_flags(old[key], row)]
    if old[key].ranks != row.ranks and not reasons:
        reasons.append(_moved_by_others(key, row, new, entered))
    return tuple(reasons)


def _measured(old: Row, new: Row) -> list[str]:
    weights = {run.model.weights_sha256: run.id for run in old.runs}
    again = [run for run in new.runs if weights.get(run.model.weights_sha256, run.id) != run.id]
    added = [run for run in new.runs if run.model.weights_sha256 not in weights]
    kept = {run.model.weights_sha256 for run in new.runs}
    reasons = [f"superseded: measured again as {run.id[:16]}" for run in again]
    counts = f"{len(old.runs)} -> {len(new.runs)}"
    return (
        reasons
        + ([f"runs added: {counts}"] if added else [])
        + ([f"runs left: {counts}"] if not weights.keys() <= kept else [])
    )


def _flags(old: Row, new: Row) -> list[str]:
    before, after = ({finding.id for finding in row.flagged} for row in (old, new))
    opened = [f"flag {name} opened" for name in sorted(after - before)]
    return opened + [f"flag {name} closed" for name in sorted(before - after)]


def _moved_by_others(
    key: tuple[str, ...], row: Row, new: Rows, entered: set[tuple[str, ...]]
) -> str:
    """Why a row moved that did not change itself."""
    above = sum(
        other[:-1] == key[:-1]
        and new[other].ranks is not None
        and new[other].accuracy > row.accuracy
        for other in entered
    )
    return f"{above} entered above" if above else "rows around it changed"

"""A table as plain rows of numbers, and as a DataFrame.

The rows are dictionaries, so that a report needs no import of pandas.
"""

import math
from typing import TYPE_CHECKING, Any

from leaderboard.ranking import Row, Table
from leaderboard.seeds import estimate

if TYPE_CHECKING:
    from pandas import DataFrame

Cells = dict[str, Any]
"""One row of a table, by the names of its columns."""

_COST = ("forward_passes", "backward_passes", "seconds")


def cells(table: Table) -> list[Cells]:
    """The table's rows in its order; accuracies are means over the runs, in [0, 1].

    Columns: `rank_low` and `rank_high`, the best and the worst rank that the row may have (None
    while a flag is open), `defense` (the row's name), `arch`; then `clean`, one for each threat and
    suite such as `linf:8/255/pgd-100`, and `union`, each followed by the ends of its 95 % interval,
    `..._low` and `..._high`; then `runs` and the standard deviation of their union, what was
    measured on what, hashes, flags, and the training cost of a run. `arithmetic` is that of
    the runs' attacks, `arithmetics` every one in the table: `bf16`, `fp32` or both.
    """
    kinds = _arithmetic(*table.rows)
    return [
        {
            "rank_low": row.ranks and row.ranks.low,
            "rank_high": row.ranks and row.ranks.high,
            "defense": row.label,
            "arch": row.head.model.arch,
            **_accuracies(row),
            **_facts(row),
            "arithmetic": _arithmetic(row),
            "arithmetics": kinds,
        }
        for row in table.rows
    ]


def frame(table: Table) -> "DataFrame":
    """The same as a DataFrame."""
    import pandas as pd

    return pd.DataFrame(cells(table)).astype({"rank_low": "Int64", "rank_high": "Int64"})


def measured(row: Cells) -> list[str]:
    """The columns that are accuracies: `clean` first, `union` last."""
    return [name for name in row if f"{name}_low" in row]


def _accuracies(row: Row) -> Cells:
    result: Cells = {}
    columns, n = [run.measured for run in row.runs], row.head.data.examples
    for name in columns[0]:
        flags = [column[name] for column in columns]
        mean, low, high = estimate(flags, n)
        result[name] = round(mean, 6)
        result[f"{name}_low"], result[f"{name}_high"] = round(low, 6), round(high, 6)
    return result


def _facts(row: Row) -> Cells:
    head, training = row.head, row.head.model.training or {}
    return {
        "runs": len(row.runs),
        "union_sd": _spread(row.accuracies),
        "dataset": head.data.called,
        "split": head.data.split,
        "examples": head.data.examples,
        "protocol": head.protocol.sha256,
        "protocol_version": head.protocol.version,
        "weights": " ".join(run.model.weights_sha256 for run in row.runs),
        "records": " ".join(run.id for run in row.runs),
        "flags": " ".join(sorted(row.reasons)),
        "reason": "; ".join(reason for _, reason in sorted(row.reasons.items())),
        "union_only": head.union_only,
        "extra_data": bool(training.get("extra_data")) if training else None,
        **{f"training_{name}": _cost(row, name) for name in _COST},
    }


def _arithmetic(*rows: Row) -> str:
    return " ".join(sorted({run.environment.precision for row in rows for run in row.runs}))


def _spread(accuracies: tuple[float, ...]) -> float | None:
    """Standard deviation of the runs; `statistics.stdev` is a hundred times slower."""
    if len(accuracies) == 1:
        return None
    mean = sum(accuracies) / len(accuracies)
    squares = sum((accuracy - mean) ** 2 for accuracy in accuracies)
    return round(math.sqrt(squares / (len(accuracies) - 1)), 6)


def _cost(row: Row, name: str) -> float | None:
    costs = [(run.model.training or {}).get(name) for run in row.runs]
    known = [cost for cost in costs if isinstance(cost, int | float)]
    return round(sum(known) / len(known)) if len(known) == len(row.runs) else None

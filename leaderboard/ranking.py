"""From records to tables: which records are compared, in which order, and with which ranks.

1. Only records of one protocol on the same data share a table.
2. Of several records of the same model one counts: the newest whose attacks ran in float32, or
   else the newest.
3. Models trained by one recipe with different seeds are one row: its runs.
4. Rows are ordered by the mean accuracy of their runs under the union. The ranks that a row may
   have follow from tests of all pairs (`leaderboard.separation`): 1 + how many rows are
   significantly better, to the number of rows - how many are significantly worse.
5. A row with an open flag of the audits has no rank. It is listed last, with the reason.
6. A row is named after its recipe (`leaderboard.naming`).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from leaderboard.flags import count
from leaderboard.naming import Facts, names
from leaderboard.options import TEACHERS, current
from leaderboard.schema import Data, Finding, Protocol, Record
from leaderboard.seeds import Runs
from leaderboard.separation import Ranks, ranks

_RECIPE = ("data_sha256", "threats", "epochs", "batch_size", "selected_on", "tag")
"""The facts about a training that belong to its recipe; seed and cost do not."""

_OF_A_RUN = ("seed", "dataset", "data_sha256", "teachers")
"""Settings that do not belong to the recipe: data are identified by their hash among the facts, not
their name, and teachers by their name, because each seed has its own."""


@dataclass(frozen=True)
class Row:
    """The runs of one recipe: models that differ only in their seed."""

    runs: tuple[Record, ...]
    """Oldest first; never empty."""
    ranks: Ranks | None = None
    """Its range of ranks in the table; None while a flag is open."""
    label: str = ""
    """Its name in the table."""

    @property
    def head(self) -> Record:
        """The newest run, which represents the others."""
        return self.runs[-1]

    @property
    def name(self) -> str:
        """The defense, or the model's name where the defense is unknown."""
        return self.head.model.defense or self.head.model.called

    @property
    def flagged(self) -> tuple[Finding, ...]:
        """The findings that keep this row out of the ranking."""
        return tuple(f for run in self.runs for f in run.findings if f.gate != "info")

    @property
    def reasons(self) -> dict[str, str]:
        """Why this row has no rank: the first message of each kind of flag, and how many follow."""
        by_id: dict[str, list[str]] = {}
        for finding in self.flagged:
            by_id.setdefault(finding.id, []).append(finding.message)
        more = {name: f" (and {len(found) - 1} more)" for name, found in by_id.items() if found[1:]}
        return {name: found[0] + more.get(name, "") for name, found in by_id.items()}

    def column(self, name: str) -> Runs:
        """The runs' flags in one measured column, such as `union`."""
        flags = (run.union if name == "union" else run.measured[name] for run in self.runs)
        seeds = [(run.model.training or {}).get("seed") for run in self.runs]
        known = () if None in seeds else tuple(seeds)
        return Runs(tuple(flags), self.head.data.examples, known)

    @cached_property
    def accuracies(self) -> tuple[float, ...]:
        """Accuracy of each run under the union, in [0, 1]."""
        return tuple(count(run.union) / run.data.examples for run in self.runs)

    @cached_property
    def accuracy(self) -> float:
        """Mean accuracy of the runs under the union, in [0, 1]."""
        return sum(self.accuracies) / len(self.runs)


@dataclass(frozen=True)
class Table:
    """Comparable rows, best first; rows without a rank last."""

    data: Data
    """The data on which all rows were evaluated."""
    protocol: Protocol
    """The protocol of all rows."""
    rows: tuple[Row, ...]
    """Best first."""


def tables(records: Iterable[Record]) -> list[Table]:
    """One table for each pair of protocol and data, ordered by data set and protocol.

    Records are expected oldest first, as `Board.records` returns them.
    """
    groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[table_of(record)].append(record)
    return [
        Table(group[-1].data, group[-1].protocol, rank(named(gather(group))))
        for _, group in sorted(groups.items())
    ]


def table_of(record: Record) -> tuple[str, ...]:
    """The key of the table of a record."""
    data, protocol = record.data, record.protocol
    columns = (*protocol.threats, *protocol.suites)
    return (data.called, data.split, data.sha256, protocol.sha256, *columns)


def gather(records: Iterable[Record]) -> list[Row]:
    """The rows of one table, unordered: superseded records are dropped, seeds joined."""
    records = list(records)
    strictest = sorted(records, key=lambda record: record.environment.precision == "fp32")
    newest = {_identity(record): record for record in strictest}
    recipes: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if newest[_identity(record)] is record:
            recipes[recipe(record)].append(record)
    return [Row(tuple(runs)) for runs in recipes.values()]


def _identity(record: Record) -> tuple[str, ...]:
    """What tells models apart: their weights; of models that aren't checkpoints also their name,
    because code may differ where weights do not."""
    model = record.model
    return (model.weights_sha256,) if model.training else (model.weights_sha256, model.name)


def recipe(record: Record) -> str:
    """The recipe of a record, which is the same for all runs of a row, as canonical JSON."""
    model, training = record.model, record.model.training
    if training is None or "seed" not in training:
        return " ".join(_identity(record))
    facts = {name: training.get(name) for name in _RECIPE}
    config = _choices(current(model.defense, model.config), training["seed"])
    return json.dumps([model.defense, model.arch, config, facts], sort_keys=True)


def _choices(config: dict[str, Any], seed: int) -> dict[str, Any]:
    """The hyper-parameters that belong to the recipe, nested ones included. The teacher `at-3` with
    seed 3 is the same choice as `at-4` with seed 4."""
    left = {name: value for name, value in config.items() if name not in _OF_A_RUN}
    for name, value in left.items():
        if isinstance(value, dict):
            left[name] = _choices(value, seed)
        elif name in TEACHERS and isinstance(value, str):
            left[name] = value.removesuffix(f"-{seed}").removesuffix(f"-s{seed}")
    return left


def choices(record: Record) -> Facts:
    """The settings of a record's recipe by name: hyper-parameters and facts of the training."""
    model, training = record.model, record.model.training or {}
    chosen: dict[str, Any] = {}
    config = current(model.defense, model.config)
    for name, value in _choices(config, training.get("seed", 0)).items():
        chosen |= value if isinstance(value, dict) else {name: value}
    return chosen | {name: training.get(name) for name in _RECIPE}


def named(rows: Sequence[Row]) -> list[Row]:
    """The rows of one table with their labels."""
    labels = names([row.runs for row in rows], choices)
    return [Row(row.runs, row.ranks, label) for row, label in zip(rows, labels, strict=True)]


def rank(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows with their ranks, best first; rows with open flags last, without a rank."""
    ordered = sorted(rows, key=lambda row: (-row.accuracy, row.name, row.head.id))
    listed = [row for row in ordered if not row.flagged]
    found = ranks([row.column("union") for row in listed])
    ranked = [Row(row.runs, own, row.label) for row, own in zip(listed, found, strict=True)]
    return (*ranked, *(row for row in ordered if row.flagged))

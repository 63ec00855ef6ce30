"""The records and training logs of a campaign's runs."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.campaign.execution.matching import fits
from bench.campaign.execution.plan import Plan
from leaderboard.schema import Record
from leaderboard.store import Board

ONLY = "only"
"""The one checkpoint of a model that the campaign does not train."""


@dataclass
class SeedRecords:
    """The records of a run with one seed, by checkpoint: `best` and `last`, or `ONLY`."""

    records: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))

    def of(self, tag: str) -> list[Record]:
        """The records of a checkpoint: those of `best` for `last` too, if the last epoch was the
        best, because equal weights are measured once; those of `ONLY` for either."""
        best, spent = self.records.get("best", []), self.training()
        is_last = "epoch" in spent and spent["epoch"] == spent.get("epochs")
        return self._own(tag) or (best if tag == "last" and is_last else [])

    def training(self, tag: str = "best") -> dict[str, Any]:
        """The cost of training up to a checkpoint; empty where it is unknown."""
        return next((record.model.training or {} for record in self._own(tag)), {})

    def _own(self, tag: str) -> list[Record]:
        return self.records.get(ONLY) or self.records.get(tag, [])


Collected = dict[str, dict[int, SeedRecords]]
"""Name of a run -> seed -> its records."""


def main_tag(runs: Collected) -> str:
    """The checkpoint that the tables are about: `last` if no other of any trained run was
    evaluated, else `best`."""
    found = {tag for seeds in runs.values() for one in seeds.values() for tag in one.records}
    return "last" if found - {ONLY} == {"last"} else "best"


def collect(plan: Plan, version: int | None, notify: Callable[[str], object]) -> Collected:
    """The records of every run of the campaign that has any on one of its boards, by one version of
    the protocol; without `version`, by the newest that any of them has. `notify` gets a line for
    each damaged record."""
    steps = [step for step in plan.steps.values() if step.kind == "evaluate"]
    boards = {step.board for step in steps}
    contents = {name: Board(plan.campaign.board_at(name)).read() for name in sorted(boards)}
    for line in (line for one in contents.values() for line in one.damaged):
        notify(f"warning: {line}")
    records = {name: _by_source(one.records) for name, one in contents.items()}
    fitting = {
        step.key: [
            record
            for record in records[step.board].get(step.model, [])
            if fits(record, step, plan.campaign)
        ]
        for step in steps
    }
    versions = {record.protocol.version for some in fitting.values() for record in some}
    version = version or max(versions, default=None)
    evaluated = {run.name for run in plan.campaign.runs if run.model is not None}
    found: Collected = defaultdict(lambda: defaultdict(SeedRecords))
    for step in steps:
        assert step.evaluation is not None
        chosen = [r for r in fitting[step.key] if r.protocol.version == version]
        if chosen:
            tag = ONLY if step.run in evaluated else step.evaluation.checkpoint
            found[step.run][step.seed].records[tag].append(chosen[-1])
    return {run.name: dict(found[run.name]) for run in plan.campaign.runs if run.name in found}


def _by_source(records: Iterable[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        found[record.model.source].append(record)
    return found


def logs(plan: Plan) -> dict[str, list[list[dict[str, float]]]]:
    """Name of a run -> for each seed with a `log.csv`, its numbers, a row an epoch."""
    found: dict[str, list[list[dict[str, float]]]] = defaultdict(list)
    for step in plan.steps.values():
        path = plan.campaign.folder / step.model / "log.csv"
        if step.kind == "train" and path.is_file():
            found[step.run].append(_numbers(path))
    return dict(found)


def _numbers(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{k: float(v) for k, v in row.items() if k != "notice" and v} for row in rows]

"""The result of an evaluation as arrays: robustness is one flag per example, and everything else is
derived from the flags."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import CrossfireError
from bench.evaluation.protocol import Protocol
from bench.evaluation.queue import CREDIT, PRUNED, Array, Column
from leaderboard.schema import Finding
from leaderboard.store import column as name_of

if TYPE_CHECKING:
    from pandas import DataFrame

Pair = tuple[str, str]
"""A threat and a suite, as typed."""


@dataclass(frozen=True)
class Outcome:
    """Arrays are (n,) over the examples; `attacks` are the names of a column's stages, in order."""

    protocol: Protocol
    labels: Array
    numbers: Array
    predictions: Array
    margins: Array
    clean: Array
    columns: dict[Pair, Column]
    attacks: dict[Pair, tuple[str, ...]]
    findings: list[Finding]
    classes: int
    device: str
    precision: str
    weights_sha256: str

    @property
    def union(self) -> Array:
        """Flags (n,): correct on the image itself and robust under every threat and suite."""
        robust: Array = np.logical_and.reduce(
            [self.clean, *(c.robust for c in self.columns.values())]
        )
        return robust

    def accuracy(self, what: str = "union") -> float:
        """Accuracy: `clean`, `union`, or robust accuracy under a threat against all suites.

        Raises:
            CrossfireError: there is no such column.
        """
        if what in ("clean", "union"):
            return float((self.clean if what == "clean" else self.union).mean())
        flags = [column.robust for (threat, _), column in self.columns.items() if threat == what]
        if not flags:
            there = ", ".join(self.protocol.threats)
            raise CrossfireError(f"no column '{what}'; choose from clean, union, {there}")
        return float(np.logical_and.reduce(flags).mean())

    def attack(self, pair: Pair, row: int) -> str | None:
        """The attack that broke an example; None if it is robust or misclassified unperturbed."""
        by = int(self.columns[pair].by[row])
        if by >= 0:
            return self.attacks[pair][by]
        return {PRUNED: "pruned", CREDIT: "credit"}.get(by)

    def table(self) -> "DataFrame":
        """One row per example, with the columns that `leaderboard.store` documents."""
        import pandas as pd

        columns: dict[str, Any] = {
            "index": self.numbers,
            "label": self.labels,
            "prediction": self.predictions,
            "margin": self.margins,
        }
        for pair, column in self.columns.items():
            found = (column.by >= 0) | (column.by == CREDIT)
            attacks = [self.attack(pair, row) for row in range(len(found))]
            step = pd.Series(column.step, dtype="Int64").where(pd.Series(found))
            columns |= {
                name_of(*pair, "robust"): column.robust,
                name_of(*pair, "attack"): pd.array(attacks, dtype="string"),
                name_of(*pair, "step"): step,
                name_of(*pair, "norm"): np.where(found, column.distance, np.nan),
                name_of(*pair, "passes"): column.forward + column.backward,
            }
        return pd.DataFrame(columns)

"""The result of an evaluation as arrays: robustness is one flag per example, and everything else is
derived from the flags."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.errors import CrossfireError
from bench.evaluation.protocol import Protocol
from bench.evaluation.queue import CREDIT, PRUNED, Array, Column
from bench.threats import Threat
from leaderboard.schema import Finding
from leaderboard.store import column as name_of

if TYPE_CHECKING:
    from pandas import DataFrame

Pair = tuple[str, str]
"""A threat and a suite, as typed."""


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        """The accuracies in percent; with `union_only` those under single threats aren't valid."""
        threats = () if self.protocol.union_only else self.protocol.threats
        shares = (f"{name} {self.accuracy(name):.1%}" for name in ("clean", *threats, "union"))
        return f"Outcome({len(self.labels)} examples: {', '.join(shares)})"

    @property
    def union(self) -> Array:
        """Flags (n,): correct on the image itself and robust under every threat and suite."""
        robust: Array = np.logical_and.reduce(
            [self.clean, *(c.robust for c in self.columns.values())]
        )
        return robust

    def accuracy(self, what: str | Threat = "union") -> float:
        """Accuracy: `clean`, `union`, or robust accuracy under a threat, given as in
        `adversarial`, against all suites.

        Raises:
            CrossfireError: there is no such column, or it is that of a threat with `union_only`.
        """
        if what in ("clean", "union"):
            return float((self.clean if what == "clean" else self.union).mean())
        if self.protocol.union_only:
            raise CrossfireError(f"with union_only there is no accuracy under {what} alone")
        flags = [column.robust for column in self._under(what, "clean", "union")]
        return float(np.logical_and.reduce(flags).mean())

    def adversarial(
        self, threat: str | Threat
    ) -> tuple[Float[Tensor, "m c h w"], Int[Tensor, " m"]]:
        """Adversarial images, float32 in [0, 1], and their places among the evaluated images.

        There is one for each example that any suite broke under the threat, a `Threat` or its text
        in `protocol.threats`: that of the first suite which broke it. Examples that are robust or
        misclassified unperturbed have none.

        Raises:
            CrossfireError: there is no such threat.
        """
        columns = self._under(threat)
        kept = np.stack([column.kept for column in columns])
        rows = np.flatnonzero(kept.any(0))
        images = np.array(columns[0].found[rows])
        first = kept[:, rows].argmax(0)
        for suite, column in enumerate(columns[1:], 1):
            images[first == suite] = column.found[rows[first == suite]]
        return torch.from_numpy(images), torch.from_numpy(rows)

    def _under(self, threat: str | Threat, *others: str) -> list[Column]:
        """The columns of a threat, in the order of the suites."""
        columns = [column for (name, _), column in self.columns.items() if name == str(threat)]
        if not columns:
            there = ", ".join((*others, *self.protocol.threats))
            raise CrossfireError(f"no column '{threat}'; choose from {there}")
        return columns

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
            found = column.kept
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

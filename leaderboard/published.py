"""RobustBench's published figures, to be shown beside one's own; none of them was measured by us.

A figure belongs to exactly one norm and epsilon: 0.031 is not 8/255, and the two never share a
list. Where an attack outside AutoAttack went lower, that external figure counts.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from leaderboard.budget import Budget, parse_threat

SOURCE = "RobustBench, model_info at commit 78fcc9e of 31 March 2025; not measured here"
"""Where the figures come from, and of which date."""


@dataclass(frozen=True)
class Published:
    """One published model under one threat."""

    name: str
    """RobustBench's id of the model."""
    dataset: str
    """The data set: cifar10, cifar100 or imagenet."""
    budget: Budget
    """Norm and epsilon as they were published, exactly."""
    clean: float
    """Clean accuracy, in [0, 1]."""
    autoattack: float
    """Accuracy under AutoAttack, in [0, 1]."""
    external: float | None
    """The best known attack outside AutoAttack, in [0, 1]; None when there is none."""
    arch: str
    """The architecture, in the publisher's words."""
    extra_data: bool
    """Whether training used data beyond the data set's own."""
    venue: str
    """Where the paper appeared."""
    link: str
    """The paper's address."""

    @property
    def robust(self) -> float:
        """The lower of the two figures, in [0, 1]."""
        return min(self.autoattack, self.autoattack if self.external is None else self.external)

    @property
    def attack(self) -> str:
        """Whose figure `robust` is."""
        return "AutoAttack" if self.robust == self.autoattack else "external"


@cache
def published() -> tuple[Published, ...]:
    """All published figures, in the publisher's order."""
    text = (files("leaderboard") / "published.csv").read_text(encoding="utf-8")
    return tuple(_read(row) for row in csv.DictReader(text.splitlines()))


def matching(dataset: str, threat: str) -> list[Published]:
    """The figures for exactly this data set, norm and epsilon."""
    budget = parse_threat(threat)
    return [model for model in published() if (model.dataset, model.budget) == (dataset, budget)]


def _read(row: dict[str, str]) -> Published:
    return Published(
        name=row["model_id"],
        dataset=row["dataset"],
        budget=parse_threat(f"{row['norm']}:{row['eps']}"),
        clean=float(row["clean"]) / 100,
        autoattack=float(row["autoattack"]) / 100,
        external=float(row["external"]) / 100 if row["external"] else None,
        arch=row["architecture"],
        extra_data=row["extra_data"] == "True",
        venue=row["venue"],
        link=row["link"],
    )

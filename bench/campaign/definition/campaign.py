"""The dataclasses of a campaign: runs, evaluations and comparisons."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.campaign.definition.options import Options

Kept = Literal["all", "first", "none"]
"""Of which seeds adversarial images or weights are kept."""


@dataclass(frozen=True)
class Evaluate:
    """One `[[evaluate]]` table: checkpoint, runs and attacks. None for `runs` or `seeds` means all;
    otherwise the first `seeds` seeds are evaluated."""

    checkpoint: Literal["best", "last"] = "best"
    suites: tuple[str, ...] = ("pgd-100",)
    threat: str = "union"
    budgets: str | None = None
    examples: int | None = None
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    union_only: bool = False
    runs: tuple[str, ...] | None = None
    seeds: int | None = None
    board: str | None = None
    images: Kept | None = None

    @property
    def name(self) -> str:
        """Checkpoint and suites, unique in a campaign."""
        return f"{self.checkpoint} by {','.join(self.suites)}"


@dataclass(frozen=True)
class Run:
    """One recipe: a defense and its options with several seeds, or a model that is only evaluated.

    `group` is the name in the file, shared by all runs of a grid; `teachers` maps an option to the
    run that it names.
    """

    name: str
    group: str
    seeds: tuple[int, ...]
    options: Options
    model: str | None = None
    teachers: dict[str, str] = field(default_factory=dict)
    board: str | None = None
    images: Kept | None = None


@dataclass(frozen=True)
class Compare:
    """One `[[compare]]`: two runs under `union`, a norm or a threat, by one suite."""

    a: str
    b: str
    under: str = "union"
    suite: str = "pgd-100"


@dataclass(frozen=True)
class Campaign:
    """The content of a campaign's file. Commands run in `folder`; every path is relative to it."""

    path: Path
    folder: Path
    runs: tuple[Run, ...]
    evaluations: tuple[Evaluate, ...]
    compares: tuple[Compare, ...]
    dataset: str
    checkpoints: str
    board: str
    images: Kept
    keep_weights: Kept
    cpus: int

    def board_at(self, name: str) -> Path:
        """The folder of a board; it need not exist yet."""
        return Path(os.path.normpath(self.folder / name))

    @property
    def state_folder(self) -> Path:
        """The folder of the campaign's state and logs."""
        return self.folder / ".campaign" / self.path.stem

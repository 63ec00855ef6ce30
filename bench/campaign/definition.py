"""What a campaign is: data, runs, evaluations and comparisons."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.campaign.options import Options

Images = Literal["all", "first", "none"]


@dataclass(frozen=True)
class Evaluation:
    """One `[[evaluate]]`: which checkpoint of which runs is attacked how. Of `runs` and `seeds`
    None means all; `seeds` counts the first ones."""

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
    images: Images | None = None

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.checkpoint} by {','.join(self.suites)}"


@dataclass(frozen=True)
class Run:
    """One recipe: a defense and its options with several seeds, or a model that is only evaluated.

    `group` is the name in the file, which a grid's runs share; `teachers` maps an option to the
    run that it names.
    """

    name: str
    group: str
    seeds: tuple[int, ...]
    options: Options
    model: str | None = None
    teachers: dict[str, str] = field(default_factory=dict)
    board: str | None = None
    images: Images | None = None


@dataclass(frozen=True)
class Compare:
    """One `[[compare]]`: two runs under `union`, a norm or a threat, by one suite."""

    a: str
    b: str
    under: str = "union"
    suite: str = "pgd-100"


@dataclass(frozen=True)
class Campaign:
    """A campaign's file, checked. Commands run in `folder`; every path is relative to it."""

    path: Path
    folder: Path
    runs: tuple[Run, ...]
    evaluations: tuple[Evaluation, ...]
    compares: tuple[Compare, ...]
    dataset: str = "digits"
    checkpoints: str = "runs"
    board: str = "board"
    images: Images = "all"
    cpus: int = 1

    def board_at(self, name: str) -> Path:
        """The folder of a board; the campaign's own need not be there yet."""
        return Path(os.path.normpath(self.folder / name))

    @property
    def home(self) -> Path:
        """Where the campaign's own state and its logs are."""
        return self.folder / ".campaign" / self.path.stem

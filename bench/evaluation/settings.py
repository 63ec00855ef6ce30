"""The settings of an evaluation."""

from dataclasses import dataclass

from bench.compute.precision import Precision


@dataclass(frozen=True)
class Settings:
    """`threat` is `union`, a norm, or threats such as `linf:8/255,l2:0.5`; the first two take their
    budgets from the budget set of `dataset` (by default guessed from the images' shape).
    `capacity` is the batch size (chosen by device if None). `union_only` skips examples that
    another threat has broken: the union is the same, and it takes less time.
    """

    threat: str = "union"
    suites: tuple[str, ...] = ("pgd-100",)
    dataset: str | None = None
    budgets: str | None = None
    split: str = "test"
    seed: int = 0
    precision: Precision = "auto"
    compiled: bool | None = None
    device: str | None = None
    capacity: int | None = None
    union_only: bool = False

"""The settings of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from bench.compute.precision import Precision
from bench.errors import CrossfireError, unknown
from bench.evaluation.suites import Own, name_of
from bench.threats import Threat


@dataclass(frozen=True)
class Settings:
    """`threat` is `union`, a norm, or threats such as `linf:8/255,l2:0.5`; the first two take their
    budgets from the budget set of `dataset` (by default guessed from the images' shape). It may
    also be a `Threat` or several, and is kept as text. `suites` are
    names, or attacks themselves, each a suite under its `__name__`.
    `capacity` is the batch size (chosen by device if None). `union_only` skips examples that
    another threat has broken: the union is the same, and it takes less time.

    Raises:
        CrossfireError: threat, suites, seed or precision are not valid, or the capacity is less
            than 1.
    """

    threat: str | Threat | Sequence[str | Threat] = "union"
    suites: tuple[str | Own, ...] = ("pgd-100",)
    dataset: str | None = None
    budgets: str | None = None
    split: str = "test"
    seed: int = 0
    precision: Precision = "auto"
    compiled: bool | None = None
    device: str | None = None
    capacity: int | None = None
    union_only: bool = False

    def capacity_on(self, device: str) -> int:
        """The batch size on a `cpu` or a `cuda` device."""
        return self.capacity or (1024 if device == "cuda" else 128)

    def __post_init__(self) -> None:
        """Check what can be checked without model and data."""
        threats = self.threat if isinstance(self.threat, tuple | list) else (self.threat,)
        if not threats or not all(isinstance(threat, str | Threat) for threat in threats):
            raise CrossfireError(f"threat is {self.threat!r}; give a text such as 'linf:8/255'")
        object.__setattr__(self, "threat", ",".join(map(str, threats)))
        if isinstance(self.suites, str) or not self.suites:
            raise CrossfireError(f"suites are {self.suites!r}; give a tuple such as ('pgd-100',)")
        names = [name_of(suite) for suite in self.suites]
        if len(set(names)) < len(names):
            raise CrossfireError(f"suites {', '.join(names)} name one twice")
        for taken in (f"{name}_{end}" for name in names for end in ("low", "high")):
            if taken in names:
                raise CrossfireError(
                    f"suite '{taken}' is called like an end of the interval of another in the "
                    "leaderboard; rename it"
                )
        if not 0 <= self.seed < 2**63:
            raise CrossfireError(f"seed is {self.seed}; give one from 0 to 2**63 - 1")
        if self.precision not in get_args(Precision):
            raise unknown("precision", self.precision, get_args(Precision))
        if self.capacity is not None and self.capacity < 1:
            raise CrossfireError(f"capacity is {self.capacity}; give a batch size of at least 1")

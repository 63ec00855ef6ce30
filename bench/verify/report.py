"""The result of verifying a record, and its text."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from leaderboard.fields import visible
from leaderboard.schema import Record

Outcome = Literal["VALID", "PARTLY CHECKED", "INVALID"]


class Failure(NamedTuple):
    """A rule that the record violates, and how."""

    rule: str
    message: str


class Gap(NamedTuple):
    """A rule that was not applied, and why."""

    rule: str
    why: str


@dataclass(frozen=True)
class Report:
    """The result of verifying one record."""

    path: Path
    record: Record | None
    """None if the file is not a record."""
    failures: tuple[Failure, ...]
    left_out: tuple[Gap, ...] = ()
    """Rules that cannot be applied, because the record lacks the information."""
    missing: tuple[Gap, ...] = ()
    """Rules that could be applied if weights or data were on this machine."""
    sample: int | None = None
    """How many images of each kind were measured and classified again; None for all."""

    @property
    def outcome(self) -> Outcome:
        """INVALID if a rule is violated; VALID if none is and no weights or data were missing."""
        if self.failures:
            return "INVALID"
        return "PARTLY CHECKED" if self.missing else "VALID"

    @property
    def text(self) -> str:
        """A line with the outcome and the rules not checked, and one for each violated rule."""
        name = self.record.model.called if self.record else "not a record"
        gaps = "".join(f"; not checked, {gap}" for gap in _grouped((*self.missing, *self.left_out)))
        sample = f"; {self.sample} images of each kind checked" if self.sample else ""
        head = f"{self.outcome} {self.path} ({name}){sample}{gaps}"
        lines = [head, *(f"  {rule}: {message}" for rule, message in self.failures)]
        return "\n".join(map(visible, lines))


def summary(reports: Iterable[Report], seconds: float) -> str:
    """One line: how many records had which outcome."""
    outcomes = [report.outcome for report in reports]
    counted = [f"{outcomes.count(outcome)} {outcome.lower()}" for outcome in get_args(Outcome)]
    hint = "; name missing models or data by --model, --dataset"
    return (
        f"{len(outcomes)} records in {seconds:.0f} s: {', '.join(counted)}"
        f"{hint if 'PARTLY CHECKED' in outcomes else ''}"
    )


def _grouped(gaps: Iterable[Gap]) -> list[str]:
    rules: dict[str, list[str]] = {}
    for rule, why in gaps:
        rules.setdefault(why, []).append(rule)
    return [f"{why}: {', '.join(names)}" for why, names in rules.items()]

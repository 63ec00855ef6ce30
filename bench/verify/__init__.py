"""Checking a record again from its evidence: VALID, or INVALID with the rules that failed.

    report = verify(Path("board/records/0123456789abcdef.json"))
    report.valid, report.failures

Everything that can follow is made to follow once more: hashes, flags, distances in float64,
predictions in float32 in another batch size. What cannot be checked at all is when it was
measured, on which machine and how long it took.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.errors import CrossfireError
from bench.verify.case import Case, Options
from bench.verify.rules import DECISIVE, NEEDS_IMAGES, RULES
from leaderboard.schema import Record, from_json

__all__ = ["Failure", "Options", "Report", "verify"]


class Failure(NamedTuple):
    """A rule that is broken, and how."""

    rule: str
    message: str


@dataclass(frozen=True)
class Report:
    """What the examination of one record found."""

    path: Path
    record: Record | None
    """None when the file is no record."""
    failures: tuple[Failure, ...]
    unchecked: tuple[str, ...] = ()
    """Rules about adversarial examples that the record left out."""

    @property
    def valid(self) -> bool:
        """Whether no rule is broken."""
        return not self.failures


def verify(path: Path, options: Options | None = None) -> Report:
    """Examine the record in a file of a board against its evidence, its data and its model.

    Raises:
        CrossfireError: there is no such file, or data or model can't be found here.
    """
    if not path.is_file():
        raise CrossfireError(f"there is no record {path}; name a file in a board's folder records")
    try:
        record = from_json(path.read_bytes())
    except ValueError as error:
        return Report(path, None, (Failure("V01", str(error)),))
    case = Case(record, path.absolute().parent.parent, options or Options())
    if failures := _evidence(case):
        return Report(path, record, failures)
    left_out = record.evidence is not None and record.evidence.adversarial is None
    unchecked = NEEDS_IMAGES if left_out else ()
    return Report(path, record, _examine(case, unchecked), unchecked)


def _evidence(case: Case) -> tuple[Failure, ...]:
    """V02: the files of evidence have the hashes that the record names."""
    evidence = case.record.evidence
    if evidence is None:
        return (Failure("V02", "the record has no evidence"),)
    failures = []
    for file in filter(None, (evidence.table, evidence.adversarial)):
        path = case.board / file.file
        if not path.is_file():
            failures.append(Failure("V02", f"{file.file} is missing"))
            continue
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256 != file.sha256:
            failures.append(Failure("V02", f"{file.file} was changed"))
    return tuple(failures)


def _examine(case: Case, unchecked: tuple[str, ...]) -> tuple[Failure, ...]:
    """The other rules, up to the first that makes the later ones meaningless."""
    failures: list[Failure] = []
    for name, rule in RULES.items():
        if name in unchecked:
            continue
        try:
            failures += [Failure(name, message) for message in rule(case)]
        except (ValueError, IndexError, KeyError) as error:
            failures.append(Failure(name, str(error)))
        if failures and name in DECISIVE:
            break
    return tuple(failures)

"""The record: the result of one evaluation.

A record is plain JSON. It holds one flag per example for every threat and suite, and everything
that is needed to repeat or to question the evaluation. Accuracies and intervals are not in it: they
follow from the flags. Its identity is the sha256 of its content.

    record = Record(model=Model(...), data=Data(...), ...)
    text = to_json(record)
    assert from_json(text) == record

Every released schema version stays readable.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from leaderboard import flags
from leaderboard.fields import Part, from_text, read
from leaderboard.parts import (
    Data,
    Environment,
    Evidence,
    File,
    Finding,
    Model,
    Protocol,
    Verdict,
)

SCHEMA = 1
"""The schema version that this code writes."""

UNION_ONLY = "A17"
"""The finding which says that examples were skipped once any threat had broken them."""

__all__ = [
    "SCHEMA",
    "UNION_ONLY",
    "Data",
    "Environment",
    "Evidence",
    "File",
    "Finding",
    "Model",
    "Protocol",
    "Record",
    "Verdict",
    "digest",
    "from_json",
    "to_json",
]


@dataclass(frozen=True)
class Record(Part):
    """One evaluation of one model under one protocol.

    Raises:
        ValueError: a field is malformed, or the parts contradict one another.
    """

    created: str
    """When the evaluation ended: ISO 8601, UTC."""
    model: Model
    """The evaluated model."""
    data: Data
    """The data."""
    protocol: Protocol
    """The rules of the evaluation."""
    clean: str
    """Packed flags: set where the unperturbed image is classified correctly."""
    verdicts: tuple[Verdict, ...]
    """Exactly one for each pair of the protocol's threats and suites."""
    union: str
    """Packed flags: clean AND every verdict, example by example."""
    findings: tuple[Finding, ...]
    """What the audits found."""
    environment: Environment
    """Software and hardware."""
    command: str
    """The command that reproduces it."""
    evidence: Evidence | None = None
    """The files that prove it; filled in when the record is appended to a board."""
    schema: int = SCHEMA
    """Version of this schema."""
    id: str = field(default="", compare=False)
    """sha256 of the canonical JSON without this field; computed when empty."""

    @property
    def measured(self) -> dict[str, str]:
        """Packed flags by column: `clean`, each `linf:8/255/pgd-100` suite by suite, `union`."""
        order = {suite: place for place, suite in enumerate(self.protocol.suites)}
        verdicts = sorted(self.verdicts, key=lambda verdict: order[verdict.suite])
        columns = {f"{verdict.threat}/{verdict.suite}": verdict.flags for verdict in verdicts}
        return {"clean": self.clean, **columns, "union": self.union}

    @property
    def union_only(self) -> bool:
        """Whether examples that one threat broke were not attacked under the next."""
        return any(finding.id == UNION_ONLY for finding in self.findings)

    def _check(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema {self.schema} is unknown; this version reads up to {SCHEMA}")
        _check_utc(self.created)
        self._check_verdicts()
        self._check_flags()
        if not self.id:
            object.__setattr__(self, "id", digest(dataclasses.asdict(self)))

    def _check_verdicts(self) -> None:
        measured = sorted((verdict.threat, verdict.suite) for verdict in self.verdicts)
        expected = sorted((t, s) for t in self.protocol.threats for s in self.protocol.suites)
        if measured != expected or not measured:
            raise ValueError(f"the verdicts {measured} are not those of the protocol, {expected}")

    def _check_flags(self) -> None:
        for text in (self.clean, self.union, *(verdict.flags for verdict in self.verdicts)):
            flags.check(text, self.data.examples)
        for verdict in self.verdicts:
            if flags.number(verdict.flags) & ~flags.number(self.clean):
                raise ValueError(
                    f"{verdict.threat} {verdict.suite} has flags set that clean has not"
                )
        if flags.conjunction([self.clean, *(v.flags for v in self.verdicts)]) != self.union:
            raise ValueError("union is not clean AND every verdict")


def to_json(record: Record) -> str:
    """The record as indented JSON with sorted keys."""
    return (
        json.dumps(dataclasses.asdict(record), sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    )


def from_json(text: str | bytes) -> Record:
    """The record that `to_json` wrote.

    Raises:
        ValueError: it is not a well-formed record, or its content isn't that of its id.
    """
    try:
        data = from_text(text)
        if not isinstance(data, dict) or not isinstance(data.get("id"), str):
            raise ValueError("not a record")
        if digest(data) != data["id"]:
            raise ValueError("its content does not have the id that it names: it was changed")
        return read(Record, data)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def digest(data: dict[str, Any]) -> str:
    """sha256 over the canonical JSON of a record's fields other than `id`.

    Raises:
        ValueError: a value has no JSON form.
    """
    content = {name: value for name, value in data.items() if name != "id"}
    try:
        text = json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except TypeError as error:
        raise ValueError(f"a record holds plain JSON values only: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()


def _check_utc(text: str) -> None:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != timedelta(0):
        raise ValueError(f"created must be a moment in UTC, unlike '{text}'")

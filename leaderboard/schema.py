"""What one evaluation leaves behind: the record.

A record is plain JSON. It holds one flag per example for every threat and suite, and everything
that is needed to repeat or to doubt the measurement. Accuracies and intervals are not in it: they
follow from the flags. Its identity is the sha256 of its content.

    record = Record(model=Model(...), data=Data(...), ...)
    text = to_json(record)
    assert from_json(text) == record

Once released, a schema version stays readable for ever.
"""

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any, Literal

from leaderboard import flags
from leaderboard.budget import parse_threat
from leaderboard.fields import Part, read
from leaderboard.known import called

SCHEMA = 1
"""The schema version that this code writes."""

UNION_ONLY = "A17"
"""The finding which says that examples were skipped once any threat had broken them."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Model(Part):
    """What was measured."""

    name: str
    """A label for people; never an identity."""
    source: str
    """What named the model on the command line: a checkpoint's path, `file.py:callable`, ..."""
    defense: str | None
    """Registry key of the defense that trained it; None when that isn't known."""
    arch: str
    """The architecture's name."""
    parameters: int
    """Number of trainable parameters."""
    weights_sha256: str
    """sha256 over names, types, shapes and bytes of all weights and buffers."""
    config: dict[str, Any]
    """The defense's hyper-parameters, every one of them, as JSON values (lists, never tuples)."""
    training: dict[str, Any] | None
    """How it was trained: epoch, tag, seed, forward_passes, backward_passes, seconds, data_sha256,
    selected_on, ...; None when that isn't known."""

    @property
    def called(self) -> str:
        """What to call it beside others: the run's name for its checkpoint `best` or `last`."""
        run = PurePath(self.source).parent.name
        return run if run and self.name in ("best", "last") else self.name

    def _check(self) -> None:
        _check_sha256(self.weights_sha256, "Model.weights_sha256")


@dataclass(frozen=True)
class Data(Part):
    """On what it was measured."""

    name: str
    """The data set's name when it was measured: `cifar10`, or `npz:FILE` for one's own."""
    split: str
    """Which part of it, for example `test`."""
    examples: int
    """How many examples were evaluated: the first ones, in the data set's order."""
    classes: int
    """Number of classes."""
    sha256: str
    """sha256 of the pixels and labels that were used."""

    @property
    def called(self) -> str:
        """What it is: the public data set that begins with these examples, or else its name."""
        return called(self.sha256, self.name)

    def _check(self) -> None:
        _check_sha256(self.sha256, "Data.sha256")
        if self.examples < 1:
            raise ValueError(f"Data.examples must be at least 1, not {self.examples}")


@dataclass(frozen=True)
class Protocol(Part):
    """How it was measured; rows of different protocols never share a table."""

    version: int
    """Version of the evaluator's rules."""
    sha256: str
    """Hash of the protocol's whole content, every attack's settings included."""
    threats: tuple[str, ...]
    """What the adversary may do, each as it was typed: `linf:8/255`."""
    suites: tuple[str, ...]
    """Names of the suites of attacks."""
    seed: int
    """The seed from which each example's randomness is keyed."""
    examples: int | None
    """How many examples the protocol asks for; None for the whole split."""

    def _check(self) -> None:
        _check_sha256(self.sha256, "Protocol.sha256")
        for threat in self.threats:
            parse_threat(threat)


@dataclass(frozen=True)
class Verdict(Part):
    """What one suite left standing under one threat."""

    threat: str
    """One of the protocol's threats."""
    suite: str
    """One of the protocol's suites."""
    flags: str
    """Packed flags: set where the example is still classified correctly."""
    forward_passes: int
    """Images sent forward through the model by the attacks."""
    backward_passes: int
    """Images sent backward through the model by the attacks."""
    seconds: float
    """Wall-clock time of the attacks."""


@dataclass(frozen=True)
class Finding(Part):
    """What an audit has to say about the measurement."""

    id: str
    """Rule id, for example `P4`."""
    gate: Literal["refuse", "flag", "info"]
    """`flag`: the row is shown apart from the ranking; `info`: it is only said."""
    message: str
    """One sentence for the reader of the table."""
    value: float | None
    """The number behind it, where there is one."""


@dataclass(frozen=True)
class Environment(Part):
    """Where it was measured."""

    crossfire: str
    """Version of this distribution."""
    python: str
    """Version of Python."""
    torch: str
    """Version of torch."""
    platform: str
    """Operating system and processor."""
    device: str
    """Device's name."""
    precision: str
    """Arithmetic that proposed the attacks; verdicts are always float32."""
    commit: str | None
    """Commit of the working tree; None outside a repository."""
    dirty: bool | None
    """Whether the working tree had changes that the commit doesn't hold."""


@dataclass(frozen=True)
class File(Part):
    """A file of evidence."""

    file: str
    """Path relative to the board's folder."""
    sha256: str
    """sha256 of its content."""

    def _check(self) -> None:
        _check_sha256(self.sha256, "File.sha256")
        if self.file.startswith("/") or ".." in self.file.split("/"):
            raise ValueError(f"File.file must stay inside the board, unlike '{self.file}'")


@dataclass(frozen=True)
class Evidence(Part):
    """What proves the record."""

    table: File
    """Parquet, a row per example (`leaderboard.store.columns`)."""
    adversarial: File | None
    """safetensors: `<threat>/<suite>/images` float32 (m, c, h, w) in [0, 1] and
    `<threat>/<suite>/indices` int64 (m,) of the broken examples; some of their unperturbed images
    under `originals/images` uint8 and `originals/indices`; None when they were left out."""


@dataclass(frozen=True)
class Record(Part):
    """One evaluation of one model under one protocol.

    Raises:
        ValueError: a field is malformed, or the parts contradict one another.
    """

    created: str
    """When the evaluation ended: ISO 8601, UTC."""
    model: Model
    """What was measured."""
    data: Data
    """On what."""
    protocol: Protocol
    """How."""
    clean: str
    """Packed flags: set where the unperturbed image is classified correctly."""
    verdicts: tuple[Verdict, ...]
    """Exactly one for each pair of the protocol's threats and suites."""
    union: str
    """Packed flags: clean AND every verdict, example by example."""
    findings: tuple[Finding, ...]
    """What the audits found."""
    environment: Environment
    """Where."""
    command: str
    """The command that reproduces it."""
    evidence: Evidence | None = None
    """What proves it; filled in when the record is appended to a board."""
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
        asked = sorted((t, s) for t in self.protocol.threats for s in self.protocol.suites)
        if measured != asked or not measured:
            raise ValueError(f"the verdicts {measured} are not those of the protocol, {asked}")

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
    data = json.loads(text)
    if not isinstance(data, dict) or not isinstance(data.get("id"), str):
        raise ValueError("not a record")
    if digest(data) != data["id"]:
        raise ValueError("its content does not have the id that it names: it was changed")
    return read(Record, data)


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


def _check_sha256(text: str, where: str) -> None:
    if _SHA256.fullmatch(text) is None:
        raise ValueError(f"{where} must be a sha256 in lower-case hexadecimal, not '{text}'")


def _check_utc(text: str) -> None:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != timedelta(0):
        raise ValueError(f"created must be a moment in UTC, unlike '{text}'")

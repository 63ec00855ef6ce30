"""The parts of a record: model, data, protocol, verdicts, findings, environment and evidence."""

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from leaderboard.budget import parse_threat
from leaderboard.fields import Part, is_number
from leaderboard.known import called

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Model(Part):
    """The evaluated model."""

    name: str
    """A label for people; never an identity."""
    source: str
    """The model's name on the command line: a checkpoint's path, `file.py:callable`, ..."""
    defense: str | None
    """Registry key of the defense that trained it; None if it is unknown."""
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
    selected_on, ...; None if it is unknown."""

    @property
    def called(self) -> str:
        """Its name in a table: the name of the run for its checkpoint `best` or `last`."""
        run = PurePath(self.source).parent.name
        return run if run and self.name in ("best", "last") else self.name

    def _check(self) -> None:
        _check_sha256(self.weights_sha256, "Model.weights_sha256")
        _check_training(self.training or {})


def _check_training(training: dict[str, Any]) -> None:
    """Check the facts of a training by which rows are joined, tested and named."""
    for name, kinds in _TRAINING.items():
        value = training.get(name)
        fits = isinstance(value, kinds) and (is_number(value) or name == "threats")
        if value is not None and not fits:
            raise ValueError(f"Model.training has {name} = {value!r}")
    threats = training.get("threats") or []
    if not all(isinstance(threat, str) for threat in threats):
        raise ValueError(f"Model.training has threats = {threats!r}")
    for threat in threats:
        parse_threat(threat)


_TRAINING: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("seed", "epoch", "epochs", "forward_passes", "backward_passes"), (int,)),
    "seconds": (int, float),
    "threats": (list, tuple),
}


@dataclass(frozen=True)
class Data(Part):
    """The data of the evaluation."""

    name: str
    """The data set's name when it was measured: `cifar10`, or `npz:FILE` for a user's own data."""
    split: str
    """Name of the split, for example `test`."""
    examples: int
    """Number of evaluated examples: the first ones, in the data set's order."""
    classes: int
    """Number of classes."""
    sha256: str
    """sha256 of the pixels and labels that were used."""

    @property
    def called(self) -> str:
        """The public data set that begins with these examples, or else its name."""
        return called(self.sha256, self.name)

    def _check(self) -> None:
        _check_sha256(self.sha256, "Data.sha256")
        if self.examples < 1:
            raise ValueError(f"Data.examples must be at least 1, not {self.examples}")


@dataclass(frozen=True)
class Protocol(Part):
    """The rules of the evaluation; rows of different protocols never share a table."""

    version: int
    """Version of the evaluator's rules."""
    sha256: str
    """Hash of the protocol's whole content, every attack's settings included."""
    threats: tuple[str, ...]
    """The threats, as they were typed: `linf:8/255`."""
    suites: tuple[str, ...]
    """Names of the suites of attacks."""
    seed: int
    """The seed from which each example's randomness is keyed."""
    examples: int | None
    """Number of examples that the protocol sets; None for the whole split."""

    def _check(self) -> None:
        _check_sha256(self.sha256, "Protocol.sha256")
        if self.version < 1:
            raise ValueError(f"Protocol.version must be at least 1, not {self.version}")
        for threat in self.threats:
            parse_threat(threat)


@dataclass(frozen=True)
class Verdict(Part):
    """The result of one suite under one threat."""

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
    """A finding of an audit of the evaluation."""

    id: str
    """Rule id, for example `P4`."""
    gate: Literal["refuse", "flag", "info"]
    """`flag`: the row is shown apart from the ranking; `info`: it is only shown."""
    message: str
    """One sentence for the reader of the table."""
    value: float | None
    """The measured number, if there is one."""


@dataclass(frozen=True)
class Environment(Part):
    """Software and hardware of the evaluation."""

    crossfire: str
    """Version of this distribution."""
    python: str
    """Version of Python."""
    torch: str
    """Version of torch."""
    platform: str
    """Operating system and processor."""
    device: str
    """Name of the device."""
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
    """The files that prove the record."""

    table: File
    """Parquet, a row per example (`leaderboard.store.columns`)."""
    adversarial: File | None
    """safetensors: `<threat>/<suite>/images` float32 (m, c, h, w) in [0, 1] and
    `<threat>/<suite>/indices` int64 (m,) of the broken examples; some of their unperturbed images
    under `originals/images` uint8 and `originals/indices`; None if they were omitted."""


def _check_sha256(text: str, where: str) -> None:
    if _SHA256.fullmatch(text) is None:
        raise ValueError(f"{where} must be a sha256 in lower-case hexadecimal, not '{text}'")

"""Diagnoses: what `bench doctor` found about one model under one threat, stored on a board.

    diagnoses/<weights>-<content>.json     named by the hashes of the weights and of the content

A diagnosis concerns a model, not a record: records are not changed by it.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from leaderboard.fields import Part, from_text, read
from leaderboard.store import Board

FOLDER = "diagnoses"

Verdict = Literal["pass", "warn", "fail", "n/a"]


@dataclass(frozen=True)
class Check(Part):
    """One check of a model, with its result."""

    id: str
    """Identifies the check: `P` before the attacks, `G` gradients, `A` attacks, `R` repairs,
    `S` the active test."""
    name: str
    """What is checked, in a few words."""
    verdict: Verdict
    """`n/a` where the check does not apply to this model or threat."""
    value: float | None
    """The measured value; None where there is none."""
    unit: Literal["share", "number"]
    """A share lies in [0, 1] and is shown in percent."""
    threshold: str
    """The thresholds of the verdict, in words."""
    source: str
    """The source of check and threshold."""
    advice: str
    """What to do; for `n/a`, why the check does not apply. Empty for `pass`."""

    @property
    def shown(self) -> str:
        """The value as text."""
        if self.value is None:
            return "–"
        return f"{self.value:.1%}" if self.unit == "share" else f"{self.value:.3g}"


@dataclass(frozen=True)
class Diagnosis(Part):
    """All checks of one model under one threat."""

    created: str
    """ISO 8601, UTC."""
    crossfire: str
    """Version of this distribution."""
    model: str
    """A label for people."""
    source: str
    """What named the model on the command line."""
    weights_sha256: str
    """sha256 of the model's weights."""
    dataset: str
    """Name of the data set."""
    threat: str
    """As it was typed."""
    examples: int
    """Number of images."""
    correct: int | None
    """Number of correctly classified images, which were attacked; None if none was."""
    standing: int | None
    """Number of images that are robust under the white-box attack; None if none was attacked."""
    seed: int
    """Seed of the attacks' randomness."""
    seconds: float
    """Duration of the diagnosis."""
    checks: tuple[Check, ...]
    """All checks, in the order in which they were made."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that fail; any one means that the robust accuracy is unreliable."""
        return tuple(check for check in self.checks if check.verdict == "fail")

    @property
    def warned(self) -> tuple[Check, ...]:
        """The checks that warn."""
        return tuple(check for check in self.checks if check.verdict == "warn")

    @property
    def conclusion(self) -> str:
        """One line: whether robust accuracies of this model are reliable."""
        if self.failed:
            causes = ", ".join(f"{check.name} ({check.id})" for check in self.failed)
            return f"Do not believe this model's robust accuracy: {causes}."
        made = sum(check.verdict != "n/a" for check in self.checks)
        warned = f"; {len(self.warned)} warn" if self.warned else ""
        return (
            f"No reason to doubt this model's robust accuracy: none of {made} checks fails{warned}."
        )


def to_json(diagnosis: Diagnosis) -> str:
    """The diagnosis as indented JSON, with its conclusion."""
    content = dataclasses.asdict(diagnosis) | {"conclusion": diagnosis.conclusion}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str | bytes) -> Diagnosis:
    """The diagnosis that `to_json` wrote.

    Raises:
        ValueError: it is not one.
    """
    data = from_text(text)
    if not isinstance(data, dict):
        raise ValueError("not a diagnosis")
    return read(Diagnosis, {name: value for name, value in data.items() if name != "conclusion"})


def keep(board: Board, diagnosis: Diagnosis) -> Path:
    """Add a diagnosis to a board, and return its file.

    Raises:
        LeaderboardError: the folder can't be written.
    """
    text = to_json(diagnosis)
    content = hashlib.sha256(text.encode()).hexdigest()
    name = f"{FOLDER}/{diagnosis.weights_sha256[:16]}-{content[:16]}.json"
    board.create(name, text)
    return board.folder / name


def kept(folder: Path, weights: Iterable[str]) -> list[Diagnosis]:
    """The newest diagnosis under each threat of any of these weights (sha256) on the board in a
    folder; files that can't be read are skipped."""
    newest: dict[tuple[str, str], Diagnosis] = {}
    for sha256 in weights:
        for path in sorted((folder / FOLDER).glob(f"{sha256[:16]}-*.json")):
            try:
                found = from_json(path.read_bytes())
            except (ValueError, RecursionError, OSError):
                continue
            if found.weights_sha256 != sha256:
                continue
            known = newest.get((sha256, found.threat))
            if known is None or known.created <= found.created:
                newest[sha256, found.threat] = found
    return list(newest.values())

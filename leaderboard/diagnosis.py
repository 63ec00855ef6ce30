"""What `bench doctor` found about one model under one threat, kept beside a board's records.

    diagnoses/<weights>-<content>.json     named by the weights it is about and by its own content

It is evidence about a model and not about a record: records stay as they are.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from leaderboard.fields import Part, read
from leaderboard.store import Board

FOLDER = "diagnoses"

Verdict = Literal["pass", "warn", "fail", "n/a"]


@dataclass(frozen=True)
class Check(Part):
    """One question about a model, with its answer."""

    id: str
    """Names the check everywhere: `P` before the attacks, `G` gradients, `A` attacks, `R` repairs,
    `S` the active test."""
    name: str
    """What is asked, in a few words."""
    verdict: Verdict
    """`n/a` where the check means nothing for this model or threat."""
    value: float | None
    """What was measured; None where there is no number."""
    unit: Literal["share", "number"]
    """A share lies in [0, 1] and is shown in percent."""
    threshold: str
    """Where the verdict turns, in words."""
    source: str
    """Who proposed check and threshold."""
    advice: str
    """What to do; for `n/a`, why there is no answer. Empty for `pass`."""

    @property
    def shown(self) -> str:
        """The value as people read it."""
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
    """Whom it is about."""
    dataset: str
    """Where the images are from."""
    threat: str
    """As it was typed."""
    examples: int
    """Images looked at."""
    correct: int
    """Those of them that the model classifies correctly: what was attacked."""
    standing: int
    """Those that the white-box attack left."""
    seed: int
    """Of the attacks' randomness."""
    seconds: float
    """How long it took."""
    checks: tuple[Check, ...]
    """In the order in which they were made."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that fail: any one is a reason not to believe the number."""
        return tuple(check for check in self.checks if check.verdict == "fail")

    @property
    def warned(self) -> tuple[Check, ...]:
        """The checks that warn."""
        return tuple(check for check in self.checks if check.verdict == "warn")

    @property
    def conclusion(self) -> str:
        """One line: whether robust accuracies of this model are to be believed."""
        if self.failed:
            causes = ", ".join(f"{check.name} ({check.id})" for check in self.failed)
            return f"Do not believe this model's robust accuracy: {causes}."
        made = sum(check.verdict != "n/a" for check in self.checks)
        warned = f"; {len(self.warned)} warn" if self.warned else ""
        return (
            f"No reason to doubt this model's robust accuracy: none of {made} checks fails{warned}."
        )


def to_json(diagnosis: Diagnosis) -> str:
    """The diagnosis as indented JSON, with its conclusion for those who read no code."""
    content = dataclasses.asdict(diagnosis) | {"conclusion": diagnosis.conclusion}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str | bytes) -> Diagnosis:
    """The diagnosis that `to_json` wrote.

    Raises:
        ValueError: it is not one.
    """
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("not a diagnosis")
    return read(Diagnosis, {name: value for name, value in data.items() if name != "conclusion"})


def keep(board: Board, diagnosis: Diagnosis) -> Path:
    """Add a diagnosis to a board, and say where it is.

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
    folder; what can't be read is left out."""
    newest: dict[tuple[str, str], Diagnosis] = {}
    for sha256 in weights:
        for path in sorted((folder / FOLDER).glob(f"{sha256[:16]}-*.json")):
            try:
                found = from_json(path.read_bytes())
            except (ValueError, OSError):
                continue
            if found.weights_sha256 != sha256:
                continue
            known = newest.get((sha256, found.threat))
            if known is None or known.created <= found.created:
                newest[sha256, found.threat] = found
    return list(newest.values())

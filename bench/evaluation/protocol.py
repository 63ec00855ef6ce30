"""The protocol: every setting of an evaluation that the rows of one table must share.

It is frozen and identified by the hash of its content: another step size is another protocol.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

VERSION = 6
"""Increased whenever a change of the evaluator may change a verdict."""


@dataclass(frozen=True)
class Protocol:
    """`settings` holds, for each threat and suite, every parameter of every attack, as JSON
    values."""

    dataset: str
    split: str
    data_sha256: str
    examples: int
    threats: tuple[str, ...]
    suites: tuple[str, ...]
    settings: dict[str, Any]
    seed: int
    union_only: bool = False
    version: int = VERSION

    @property
    def sha256(self) -> str:
        """The hash of the canonical JSON of all fields."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

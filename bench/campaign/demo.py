"""The demonstration on the embedded digits: train defenses, attack them, rank them."""

from collections.abc import Iterator
from pathlib import Path

from bench.display import Progress
from bench.evaluation.settings import Settings
from bench.measurement import Measurement
from bench.plugins.registry import get_defense
from bench.training import Job
from bench.training.start import default_threat, threats_of
from leaderboard.schema import Record

DEFENSES = ("undefended", "at")
"""The defenses of the demonstration, in the order of training."""


def run_demo(folder: Path, progress: Progress) -> Iterator[Record]:
    """Train each defense with its usual settings into `folder`/runs and evaluate it on
    `folder`/board, under the union of the digits' budget set. Finished steps are not repeated.

    Raises:
        CrossfireError: the folder can't be written.
    """
    measurement = Measurement(Settings(threat="union"), board=folder / "board")
    for name in DEFENSES:
        kind, out = get_defense(name), folder / "runs" / name
        threats = threats_of(default_threat(kind), "digits")
        kind().fit(Job(out, threats, progress=progress))
        record, _ = measurement.measure(str(out), progress)
        yield record

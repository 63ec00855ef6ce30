"""What a record's evidence shows beyond its flags: curves, survivors, pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.report.png import data_url
from bench.report.wording import symbol
from leaderboard.budget import parse_threat
from leaderboard.flags import conjunction, count, unpack
from leaderboard.schema import Record
from leaderboard.statistics import Interval, wilson
from leaderboard.store import column

if TYPE_CHECKING:
    from pandas import DataFrame

PICTURES = 6
"""Adversarial examples shown for each threat."""
GRID = 60
"""Points of a curve."""
WIDEST = 64
"""Pixels to which a picture is reduced."""


class Point(NamedTuple):
    """A measured accuracy under one threat."""

    epsilon: float
    accuracy: float
    interval: Interval


class Curve(NamedTuple):
    """Accuracy against the size of the perturbation, for one norm.

    The line counts an example as broken from the smallest perturbation that was found for it.
    Attacks stop at the first one inside the budget, not at the smallest, so between measured points
    the true curve lies below the line.
    """

    norm: str
    line: list[tuple[float, float]]
    points: list[Point]


class Fall(NamedTuple):
    """Examples still standing after each attack, in the order in which they ran."""

    kind: str
    """The norm, or `union`."""
    name: str
    steps: list[tuple[str, int]]


class Picture(NamedTuple):
    """One adversarial example: the image, the adversarial image, their difference, side by side."""

    threat: str
    example: int
    label: int
    norm: float
    png: str


def read_table(board: Path, record: Record) -> "DataFrame | None":
    """A record's evidence table; None when it isn't there."""
    import pandas as pd

    path = record.evidence and board / record.evidence.table.file
    return pd.read_parquet(path) if path and path.exists() else None


def curves(record: Record, table: "DataFrame") -> list[Curve]:
    """One curve for each norm of the protocol."""
    norms: dict[str, list[str]] = {}
    for threat in record.protocol.threats:
        norms.setdefault(parse_threat(threat).norm, []).append(threat)
    return [Curve(norm, *_curve(record, table, threats)) for norm, threats in norms.items()]


def _curve(
    record: Record, table: "DataFrame", threats: list[str]
) -> tuple[list[tuple[float, float]], list[Point]]:
    n = record.data.examples
    names = [
        column(threat, suite, "norm") for threat in threats for suite in record.protocol.suites
    ]
    found = np.nan_to_num(table[names].to_numpy(dtype=float), nan=np.inf).min(axis=1)
    found[~unpack(record.clean, n)] = 0.0
    standing = record.clean
    points = [Point(0.0, count(standing) / n, wilson(count(standing), n))]
    for threat in sorted(threats, key=parse_threat):
        # What a smaller budget broke is broken under every larger one.
        standing = conjunction([standing, under(record, threat)])
        share, epsilon = count(standing) / n, float(parse_threat(threat).epsilon)
        points.append(Point(epsilon, share, wilson(count(standing), n)))
    grid = np.linspace(0, points[-1].epsilon, GRID)
    line = [(float(e), float((found > e).mean())) for e in grid[:-1]]
    return [*line, (points[-1].epsilon, points[-1].accuracy)], points


def under(record: Record, threat: str) -> str:
    """Packed flags under one threat: clean AND every suite."""
    return conjunction([record.clean, *(v.flags for v in record.verdicts if v.threat == threat)])


def falls(record: Record, table: "DataFrame") -> list[Fall]:
    """The cascade of each threat and suite, and the union taken threat by threat."""
    clean = count(record.clean)
    cascades = []
    for verdict in record.verdicts:
        threat, suite = verdict.threat, verdict.suite
        steps = [("clean", clean), *_cascade(table, threat, suite, clean)]
        cascades.append(Fall(parse_threat(threat).norm, f"{symbol(threat)}, {suite}", steps))
    flags, steps = record.clean, [("clean", clean)]
    for threat in record.protocol.threats:
        flags = conjunction([flags, under(record, threat)])
        steps.append((symbol(threat), count(flags)))
    return [Fall("union", "union", steps), *cascades] if len(steps) > 2 else cascades


def _cascade(table: "DataFrame", threat: str, suite: str, clean: int) -> list[tuple[str, int]]:
    attacks = table[column(threat, suite, "attack")]
    # An attack's first victim has spent what all attacks before it spent on it, so this is their
    # order, which the table doesn't name.
    first = table[column(threat, suite, "passes")].groupby(attacks).min().sort_values(kind="stable")
    broken = attacks.value_counts()[first.index].cumsum()
    return [(str(name), clean - int(fallen)) for name, fallen in broken.items()]


def pictures(board: Path, record: Record, table: "DataFrame") -> list[Picture]:
    """The first adversarial examples of each threat whose unperturbed image was kept."""
    from safetensors import safe_open

    file = record.evidence and record.evidence.adversarial
    if not file or not (board / file.file).exists():
        return []
    with safe_open(board / file.file, framework="np") as tensors:
        if "originals/indices" not in tensors.keys():  # noqa: SIM118 (not a dictionary)
            return []
        originals = tensors.get_tensor("originals/images")
        place = {int(i): row for row, i in enumerate(tensors.get_tensor("originals/indices"))}
        label = dict(zip(table["index"], table["label"], strict=True))
        shown: list[Picture] = []
        for threat in record.protocol.threats:
            head = f"{threat}/{record.protocol.suites[0]}"
            norm = dict(zip(table["index"], table[f"{head}/norm"], strict=True))
            indices = tensors.get_tensor(f"{head}/indices")
            rows = [row for row, index in enumerate(indices) if int(index) in place][:PICTURES]
            images = tensors.get_slice(f"{head}/images")
            for row in rows:
                index = int(indices[row])
                png = data_url(triptych(originals[place[index]], images[row]))
                shown.append(Picture(threat, index, int(label[index]), float(norm[index]), png))
    return shown


def triptych(original: NDArray[np.uint8], adversarial: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Image (c, h, w), adversarial image and stretched difference side by side: (h, 3 w + 2, c)."""
    step = -(-max(original.shape[1:]) // WIDEST)
    clean = original[:, ::step, ::step].astype(np.float32) / 255
    attacked = adversarial[:, ::step, ::step]
    delta = attacked - clean
    difference = 0.5 + delta / max(2 * float(np.abs(delta).max()), 1e-12)
    gap = np.ones((clean.shape[0], clean.shape[1], 1), np.float32)
    row = np.concatenate([clean, gap, attacked, gap, difference], axis=2)
    pixels: NDArray[np.uint8] = np.rint(255 * row.clip(0, 1)).astype(np.uint8)
    return pixels.transpose(1, 2, 0)

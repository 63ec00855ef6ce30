"""This engine against other toolboxes on this machine, in one run: the same model and images.

A row is one tool's suite on one model under one threat. Broken examples are counted by the judge,
not by the tool, and are compared example by example with those of the reference.
"""

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bench.attacks.base import Slots, query
from bench.attacks.external import Counted
from bench.attacks.pgd import PGD
from bench.attacks.reference import autoattack_reference
from bench.compute.environment import processor
from bench.compute.precision import Precision
from bench.compute.processor import keep_memory
from bench.evaluation import suites
from bench.evaluation.evaluator import evaluate
from bench.evaluation.judge import Judge
from bench.evaluation.proposer import proposer
from bench.evaluation.queue import Array
from bench.files import write_atomic
from bench.models.checkpoint import weights_sha256
from bench.report.listing import Listing
from bench.speed import peers
from bench.threats import Threat

T = TypeVar("T")

BATCH = 128


@dataclass(frozen=True)
class Row:
    """`passes` are forward and backward passes per image; `missed` counts examples that the row's
    reference broke and this tool left, `extra` the reverse; `ratio` is the reference's seconds
    divided by this tool's."""

    model: str
    threat: str
    tool: str
    seconds: float
    passes: float
    accuracy: float
    missed: int | None = None
    extra: int | None = None
    ratio: float | None = None


@dataclass(frozen=True)
class Bench:
    """A comparison on images (n, c, h, w) in [0, 1] with labels (n,), in the engine's arithmetic,
    on the device of the images, where models must be too.

    Results of other tools are written to the folder `keep`, and read from there by a later
    comparison with the same weights, images, version of the tool, processor and threads.
    """

    images: Tensor
    labels: Tensor
    suites: Sequence[str]
    precision: Precision = "auto"
    reference: bool = True
    keep: Path | None = None

    def rows(self, models: Mapping[str, nn.Module], threats: Sequence[Threat]) -> Iterator[Row]:
        """Every tool on every model and threat; the reference comes first.

        Raises:
            CrossfireError: there is no such suite.
        """
        for suite in self.suites:
            suites.get(suite)
        for name, model in models.items():
            for threat in threats:
                yield from self._against_reference(name, model, threat)
                yield from self._against_peers(name, model, threat)

    def overhead(self, model: nn.Module, threat: Threat) -> float:
        """The time that the engine adds to a loop of forward and backward passes only, as a share:
        the median over five pairs of twenty PGD steps each, timed alternately."""
        x, y = self.images[:BATCH], self.labels[:BATCH]
        fast = proposer(model, x[:32], precision=self.precision, capacity=BATCH)
        attack = PGD(steps=20)
        slots = attack.start(Slots.fresh(x, y, y, torch.zeros_like(y)), threat)

        def passes_only() -> None:
            for _ in range(20):
                query(fast, attack, slots)

        def whole_steps() -> None:
            moving = slots
            for _ in range(20):
                moving = attack.step(moving, fast.query(attack, moving), threat)

        pairs = [(_timed(passes_only)[0], _timed(whole_steps)[0]) for _ in range(6)][1:]
        return float(np.median([whole / passes for passes, whole in pairs])) - 1

    def _against_reference(self, name: str, model: nn.Module, threat: Threat) -> Iterator[Row]:
        base = None
        if self.reference:
            base = self._other_tool(name, model, threat, "pyautoattack", autoattack_reference)
            yield base[0]
        for suite in self.suites:
            yield self._ours(name, model, threat, suite, base)

    def _against_peers(self, name: str, model: nn.Module, threat: Threat) -> Iterator[Row]:
        if "pgd-100" not in self.suites:
            return
        for tool, peer in peers.installed(threat).items():
            base = self._other_tool(name, model, threat, f"{tool} PGD-100", peer)
            yield base[0]
            yield self._ours(name, model, threat, "pgd-100", base)

    def _ours(
        self,
        name: str,
        model: nn.Module,
        threat: Threat,
        suite: str,
        base: tuple[Row, Array] | None,
    ) -> Row:
        settings: dict[str, Any] = {"suites": (suite,), "precision": self.precision}
        settings |= {"threat": str(threat), "device": str(self.images.device)}
        seconds, outcome = _timed(lambda: evaluate(model, self.images, self.labels, **settings))
        (column,) = outcome.columns.values()
        passes = int(column.forward.sum() + column.backward.sum()) / len(self.labels)
        row = Row(name, str(threat), f"ours: {suite}", seconds, passes, outcome.accuracy())
        return row if base is None else _against(row, column.robust, *base)

    def _other_tool(
        self, name: str, model: nn.Module, threat: Threat, tool: str, attack: peers.Peer
    ) -> tuple[Row, Array]:
        kept = self.keep and self.keep / f"{self._key(model, threat, tool)}.npz"
        if kept and kept.exists():
            found = np.load(kept)
            seconds, passes, robust = (
                float(found["seconds"]),
                float(found["passes"]),
                found["robust"],
            )
        else:
            seconds, passes, robust = self._attacked(model, threat, attack)
            if kept:
                data = io.BytesIO()
                np.savez(data, seconds=seconds, passes=passes, robust=robust)
                write_atomic(kept, data.getvalue())
        return Row(name, str(threat), tool, seconds, passes, float(robust.mean())), robust

    def _key(self, model: nn.Module, threat: Threat, tool: str) -> str:
        parts = (weights_sha256(model), threat, tool, peers.version(tool.split()[0]), machine())
        sha256 = hashlib.sha256("|".join(map(str, parts)).encode())
        sha256.update(self.images.cpu().numpy().tobytes())
        sha256.update(self.labels.cpu().numpy().tobytes())
        return sha256.hexdigest()[:16]

    def _attacked(
        self, model: nn.Module, threat: Threat, attack: peers.Peer
    ) -> tuple[float, float, Array]:
        """Seconds, passes per image, and flags (n,) of the robust examples."""
        counted = Counted(model).eval()
        seconds, points = _timed(lambda: attack(counted, self.images, self.labels, threat))
        judge = Judge(model, BATCH)
        wrong = judge.wrong(self.images, self.labels)
        broken, _ = judge.adversarial(self.images, points, self.labels, threat, bounded=False)
        passes = (counted.forwards + counted.backwards) / len(self.labels)
        return seconds, passes, (~(broken | wrong)).cpu().numpy()


def _against(row: Row, robust: Array, base: Row, base_robust: Array) -> Row:
    return replace(
        row,
        missed=int((robust & ~base_robust).sum()),
        extra=int((~robust & base_robust).sum()),
        ratio=base.seconds / row.seconds,
    )


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds until the work is done, on the GPU too, and its result."""
    _finish()
    began = time.perf_counter()
    result = work()
    _finish()
    return time.perf_counter() - began, result


def _finish() -> None:
    """Wait for the GPU, which works on after a call returns."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def report(
    models: Mapping[str, nn.Module],
    bench: Bench,
    threats: Sequence[Threat],
    notify: Callable[[str], None],
) -> list[Listing]:
    """The comparison and the engine's overhead; `notify` gets a line when a row is finished."""
    keep_memory()  # also for the other tools
    rows: list[tuple[str, ...]] = []
    for row in bench.rows(models, threats):
        notify(f"{row.model}, {row.threat}, {row.tool}: {row.seconds:.1f} s")
        rows.append(cells(row))
    shares = [
        (name, *(f"{bench.overhead(model, threat):.1%}" for threat in threats))
        for name, model in models.items()
    ]
    return [
        Listing(f"{len(bench.labels)} images, {machine()}", NOTE, HEAD, rows),
        Listing("Overhead", LOOP, ("model", *map(str, threats)), shares),
    ]


def machine() -> str:
    """The processor or GPU, the number of threads, and torch's version."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    return f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}"


HEAD = ("model", "threat", "tool", "seconds", "passes", "robust", "missed", "extra", "ratio")
NOTE = (
    "passes: forward and backward passes per image. Compared with the other tool's row above: "
    "missed, examples that it broke and this one left; extra, the reverse; ratio, its seconds "
    "divided by this one's"
)
LOOP = "of the engine over a loop of forward and backward passes only"


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    found = (_cell(row.missed, "d"), _cell(row.extra, "d"), _cell(row.ratio, ".1f"))
    spent = (f"{row.seconds:.1f}", f"{row.passes:.0f}", f"{row.accuracy:.2%}")
    return (row.model, row.threat, row.tool, *spent, *found)


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"

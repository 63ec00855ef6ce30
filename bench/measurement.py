"""Evaluates the models that a command names and appends records to a board; a model that already
has a record under the same protocol is not evaluated again."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import torch

from bench import cluster
from bench.data import load
from bench.data.known import identify
from bench.display import Progress
from bench.errors import CrossfireError
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.record import keep_weights, publish
from bench.evaluation.settings import Settings
from bench.evaluation.suites import name_of
from bench.models.checkpoint import recorded
from bench.models.sources import LoadedModel, find
from leaderboard.fields import CONTROL
from leaderboard.flags import count
from leaderboard.schema import Finding, Record
from leaderboard.store import Board


@dataclass(frozen=True)
class Measurement:
    """How to evaluate, on how many examples, and on which board records are written.

    Without a data set a model is evaluated on its own one (`own_dataset`). `arch`, `weights` and
    `normalize` are for models that aren't checkpoints. With `ray` (`auto` or HOST:PORT) the workers
    of that Ray cluster share the work. Without `images` the evidence contains no adversarial
    examples. With `keep_weights` the checkpoint is copied to the board.
    """

    settings: Settings = field(default_factory=Settings)
    examples: int | None = None
    board: Path = Path("board")
    arch: str | None = None
    weights: Path | None = None
    normalize: str | None = None
    ray: str | None = None
    images: bool = True
    keep_weights: bool = False

    def measure(self, spec: str, progress: Progress) -> tuple[Record, bool]:
        """The record of the model that `spec` names, and whether it is new.

        A kill loses at most some seconds of work: the next call resumes.

        Raises:
            CrossfireError: the model can't be found, or a check forbids the evaluation.
        """
        loaded, evaluation = self.prepare(spec)
        record, fresh = self._record(spec, loaded, evaluation, progress)
        if self.keep_weights:
            keep_weights(Board(self.board), loaded)
        return record, fresh

    def _record(
        self, spec: str, loaded: LoadedModel, evaluation: Evaluation, progress: Progress
    ) -> tuple[Record, bool]:
        board = Board(self.board)
        for record in board.records():
            # What `auto` is on the workers of a cluster is not known before they attack.
            unknown = self.ray is not None and self.settings.precision == "auto"
            arithmetic = None if unknown else evaluation.attacked.arithmetic[1]
            if is_of(record, evaluation, arithmetic) and same_margins(board, record, evaluation):
                return record, False
        unfinished = self.board / ".unfinished"

        def show(done: int, total: int, text: str) -> None:
            progress(done, total, f"{loaded.name}, {text}")

        folder = unfinished / "ray" if self.ray else unfinished
        with Journal(folder, evaluation.key).alone() as journal:
            if self.ray:
                outcome = cluster.run(evaluation, self.ray, journal, show)
            else:
                outcome = evaluation.run(journal, show)
            command = self.command(spec, evaluation.protocol.dataset)
            clean = evaluation.examples.images
            record = publish(board, outcome, loaded, command, clean, images=self.images)
            journal.close()
        return record, True

    def prepare(self, spec: str) -> tuple[LoadedModel, Evaluation]:
        """The model that `spec` names, and its evaluation, checked and ready to run.

        Raises:
            CrossfireError: the model can't be found, its name or that of its data has no form in a
                record, or a check forbids the evaluation.
        """
        name = self.settings.dataset or own_dataset(spec, self.weights)
        data = load(name)
        loaded = find(spec, data, arch=self.arch, weights=self.weights, normalize=self.normalize)
        if self.keep_weights and not (loaded.metadata and Path(spec).exists()):
            raise CrossfireError(
                f"{spec} is no checkpoint of bench train; leave out --keep-weights"
            )
        split = data.test.take(self.examples)
        dataset = identify(data.test, len(split)) or name
        _check_text(self.command(spec, dataset))
        settings = replace(self.settings, dataset=dataset)
        return loaded, Evaluation(
            loaded.model, split.images, split.labels, torch.arange(len(split)), settings
        )

    def command(self, spec: str, dataset: str) -> str:
        """The command that reproduces a record on any machine; paths of outputs are left out."""
        settings = self.settings
        options = {
            "dataset": dataset,
            "threat": settings.threat,
            "suite": ",".join(map(name_of, settings.suites)),
            "budgets": settings.budgets,
            "examples": self.examples,
            "seed": settings.seed,
            "precision": settings.precision,
            "arch": self.arch,
            "weights": self.weights,
            "normalize": self.normalize,
        }
        given = [(f"--{name}", str(value)) for name, value in options.items() if value is not None]
        union_only = ["--union-only"] if settings.union_only else []
        return shlex.join(["bench", "evaluate", spec, *chain(*given), *union_only])


def _check_text(command: str) -> None:
    for word in shlex.split(command):
        shown = os.fsencode(word).decode(errors="backslashreplace")
        if shown != word:
            raise CrossfireError(f"'{shown}' is not in UTF-8, as records are; rename it")
        if CONTROL.search(word):
            raise CrossfireError(f"{word!r} has control characters, and records none; rename it")


def is_of(record: Record, evaluation: Evaluation, arithmetic: str | None) -> bool:
    """Whether a record is of these weights and protocol, and of an arithmetic (None for any)."""
    known = record.model.weights_sha256, record.protocol.sha256
    return known == (evaluation.attacked.weights, evaluation.protocol.sha256) and (
        arithmetic in (None, record.environment.precision)
    )


def same_margins(board: Board, record: Record, evaluation: Evaluation) -> bool:
    """Whether the clean margins in the evidence of a record are the evaluation's: code that isn't
    part of the weights may have changed. Of random models, whose margins differ anyway, the message
    is compared that says how many passes decide."""
    import pandas as pd

    evidence = record.evidence
    if evaluation.attacked.random:
        return _random(record.findings) == _random(evaluation.attacked.findings)
    if evidence is None:
        return True
    path = board.folder / evidence.table.file
    if not path.is_file():
        return True
    try:
        recorded = torch.tensor(pd.read_parquet(path, columns=["margin"])["margin"].to_numpy())
    except Exception:  # a damaged file may raise any error
        return False
    return evaluation.has_margins(recorded)


def _random(findings: Sequence[Finding]) -> list[str]:
    return [finding.message for finding in findings if finding.id == "P4"]


def own_dataset(spec: str, weights: Path | None = None) -> str:
    """The data set on which a model is measured if none is named: that on which a checkpoint of
    `bench train`, the model or its `weights`, was trained, that in the ID of a model of
    RobustBench, or else digits."""
    scheme, _, name = spec.partition(":")
    if scheme == "robustbench" and "/" in name:
        return name.partition("/")[0]
    found = recorded(Path(spec)) or (recorded(weights) if weights else None)
    return found.dataset if found else "digits"


def checkpoints(runs: Path) -> list[str]:
    """The folders of all finished training runs, by name; interrupted ones are left out.

    Raises:
        CrossfireError: there is none.
    """
    folders = sorted(path.parent for path in runs.glob("*/best.safetensors"))
    finished = [str(folder) for folder in folders if not (folder / "state.pt").exists()]
    if not finished:
        raise CrossfireError(f"no finished checkpoint in {runs}; make one with: bench train at")
    return finished


def line(record: Record, fresh: bool) -> str:
    """One line: a record's accuracies in percent, and whether it is new."""
    shares = {name: count(text) / record.data.examples for name, text in record.measured.items()}
    numbers = ", ".join(f"{name} {100 * share:.1f}" for name, share in shares.items())
    return f"{record.model.name}: {numbers} %{'' if fresh else ' (measured before)'}"

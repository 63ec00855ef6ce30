"""A record with its evidence, its data and its model."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bench.data.splits import Split, floats
from bench.errors import CrossfireError, reason
from bench.evaluation.judge import Judge
from bench.models.checkpoint import file_of
from bench.models.sources import LoadedModel, find, find_checkpoint
from bench.plugins import specs
from bench.verify.datasets import Datasets, Missing
from leaderboard.schema import Record, Verdict
from leaderboard.store import Board
from leaderboard.weights import weights_sha256

if TYPE_CHECKING:
    from pandas import DataFrame

BATCH = 50
"""Batch size of predictions, on purpose not the evaluation's."""


@dataclass(frozen=True)
class Options:
    """Where to find the model and the data of a record that are neither on its board nor at the
    path in the record.

    Of the sources that a record names only checkpoints are loaded: a Python file runs only if it is
    named here, as `model` or `arch` or among the `suites`.
    """

    model: str | None = None
    dataset: str | None = None
    arch: str | None = None
    weights: Path | None = None
    normalize: str | None = None
    sample: int | None = None
    """How many images of each kind to measure and classify again; None for all."""
    suites: tuple[str, ...] = ()
    """Attacks `FILE.py:NAME` that may be run, named as in the record."""


def is_random(record: Record) -> bool:
    """Whether a record says that the model's outputs are random."""
    return any(finding.id == "P4" and finding.gate == "flag" for finding in record.findings)


@dataclass(frozen=True)
class Case:
    """One record to verify. Tensors are on the CPU."""

    record: Record
    board: Path
    options: Options
    datasets: Datasets = field(default_factory=Datasets)

    @cached_property
    def table(self) -> "DataFrame":
        """The evidence table.

        Raises:
            ValueError: the file can't be read.
        """
        import pandas as pd

        assert self.record.evidence is not None
        try:
            return pd.read_parquet(self.board / self.record.evidence.table.file)
        except Exception as error:  # a damaged file may raise any error
            raise ValueError(f"the evidence table can't be read: {reason(error)}") from None

    @cached_property
    def dataset(self) -> str:
        """The name of the data set that the model was evaluated on."""
        return self.datasets.choose(self.record.data, self.options.dataset)

    @cached_property
    def split(self) -> Split:
        """The examples that the model was evaluated on."""
        return self.datasets.take(self.dataset, self.record.data.examples)

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model.

        Raises:
            Missing: its weights are not on this machine, no model can be built from them, or the
                model named in the options is another one.
            ValueError: the board's weights file has other weights.
        """
        o, data = self.options, self.datasets.load(self.dataset)
        try:
            path = self._checkpoint()
        except Missing:
            if o.model is None:
                raise
            return self._named(o.model)
        arch = o.arch if specs.same(o.arch or "", self.record.model.arch) else None
        try:
            return find_checkpoint(path, data, arch)
        except CrossfireError as error:
            raise Missing(str(error)) from error

    def _named(self, model: str) -> LoadedModel:
        o, data = self.options, self.datasets.load(self.dataset)
        try:
            found = find(model, data, arch=o.arch, weights=o.weights, normalize=o.normalize)
        except CrossfireError as error:
            raise Missing(f"the named model can't be used: {error}") from error
        if found.weights_sha256 != self.record.model.weights_sha256:
            raise Missing(f"the named model has other weights, {found.weights_sha256[:16]}")
        return found

    def _checkpoint(self) -> Path:
        kept, source = Board(self.board).weights(self.record), self.record.model.source
        if kept.is_file():
            if weights_sha256(kept) != self.record.model.weights_sha256:
                raise ValueError(f"{kept.relative_to(self.board)} holds other weights")
            return kept
        try:
            path = file_of(Path(source))
            if path.suffix != ".safetensors" or not path.is_file():
                raise Missing("its weights are not here")
            if weights_sha256(path) == self.record.model.weights_sha256:
                return path
        except OSError as error:  # others' folders, or a name that no file can have
            raise Missing(f"its weights can't be read ({reason(error)})") from None
        except ValueError:
            pass
        raise Missing(f"{path} holds other weights by now")

    @property
    def random(self) -> bool:
        """Whether the model's outputs are random."""
        return is_random(self.record)

    @cached_property
    def judge(self) -> Judge:
        """The judge, with another batch size than the evaluation's."""
        return Judge(self.loaded.model.eval(), limit=BATCH)

    def images(self, indices: Tensor) -> Tensor:
        """Unperturbed images, float32 in [0, 1]."""
        return floats(self.split.images[indices])

    def adversarial(self, verdict: Verdict) -> tuple[Tensor, Tensor]:
        """The adversarial examples (b, c, h, w) of a column and their numbers (b,).

        Raises:
            ValueError: the file doesn't have them.
        """
        images = self.tensor(f"{verdict.threat}/{verdict.suite}/images")
        indices = self.tensor(f"{verdict.threat}/{verdict.suite}/indices")
        if len(images) != len(indices) or images.shape[1:] != self.split.images.shape[1:]:
            raise ValueError(f"the images of {verdict.threat} {verdict.suite} have another shape")
        return images, indices

    def tensor(self, name: str) -> Tensor:
        """A tensor of the file of adversarial examples.

        Raises:
            ValueError: the file doesn't have it.
        """
        assert self.record.evidence is not None
        assert self.record.evidence.adversarial is not None
        try:
            with safe_open(self.board / self.record.evidence.adversarial.file, "pt") as file:
                found: Tensor = file.get_tensor(name)
                return found
        except SafetensorError as error:
            raise ValueError(f"the adversarial examples can't be read: {error}") from None

    def some(self, n: int) -> Tensor:
        """Which of n items are checked: all, or a sample, evenly spaced."""
        wanted = min(n, self.options.sample or n)
        return torch.linspace(0, n - 1, wanted).round().long() if wanted else torch.arange(0)

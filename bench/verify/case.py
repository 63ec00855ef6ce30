"""A record with everything that it must agree with."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bench.data import Split, load
from bench.errors import CrossfireError
from bench.evaluator import VOTES, floats
from bench.judge import Judge
from bench.models.sources import LoadedModel, find
from leaderboard.schema import Record, Verdict

if TYPE_CHECKING:
    from pandas import DataFrame

BATCH = 50
"""Images predicted at a time: on purpose not what an evaluation takes."""


@dataclass(frozen=True)
class Options:
    """Where to find what a record names; by default where the record says.

    Without a `model` the record's own checkpoint is taken. Nothing but a checkpoint is loaded
    because a record names it: a Python file runs only when the reader names it here.
    """

    model: str | None = None
    dataset: str | None = None
    arch: str | None = None
    weights: Path | None = None
    normalize: str | None = None
    sample: int | None = None
    """How many images of each kind to measure and predict again; None for all."""


@dataclass(frozen=True)
class Case:
    """One record under examination. Tensors are on the CPU."""

    record: Record
    board: Path
    options: Options

    @cached_property
    def table(self) -> "DataFrame":
        """The evidence table."""
        import pandas as pd

        assert self.record.evidence is not None
        return pd.read_parquet(self.board / self.record.evidence.table.file)

    @cached_property
    def split(self) -> Split:
        """The examples that the record says it was measured on."""
        data = load(self.options.dataset or self.record.data.name)
        return data.test.take(min(self.record.data.examples, len(data.test)))

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model.

        Raises:
            CrossfireError: it isn't where the record says, or the record names more than a
                checkpoint.
        """
        spec = self.options.model
        if spec is None:
            spec = self.record.model.source
            path = Path(spec)
            if not (path.is_dir() or (path.is_file() and path.suffix == ".safetensors")):
                raise CrossfireError(
                    f"'{spec}' is not a checkpoint here; name the model by --model"
                )
        data = load(self.options.dataset or self.record.data.name)
        o = self.options
        return find(spec, data, arch=o.arch, weights=o.weights, normalize=o.normalize)

    @cached_property
    def random(self) -> bool:
        """Whether the model answers the same question differently."""
        return any(finding.id == "P4" for finding in self.record.findings)

    @cached_property
    def judge(self) -> Judge:
        """Predicts in float32, in batches of another size than the evaluation's."""
        return Judge(self.loaded.model.eval(), limit=BATCH, votes=VOTES if self.random else 1)

    def images(self, indices: Tensor) -> Tensor:
        """Unperturbed images, float32 in [0, 1]."""
        return floats(self.split.images[indices])

    def adversarial(self, verdict: Verdict) -> tuple[Tensor, Tensor]:
        """The adversarial images of a column and which examples they belong to.

        Raises:
            ValueError: the file doesn't hold them.
        """
        images = self.tensor(f"{verdict.threat}/{verdict.suite}/images")
        indices = self.tensor(f"{verdict.threat}/{verdict.suite}/indices")
        if len(images) != len(indices) or images.shape[1:] != self.split.images.shape[1:]:
            raise ValueError(f"the images of {verdict.threat} {verdict.suite} have another shape")
        return images, indices

    def tensor(self, name: str) -> Tensor:
        """A tensor of the file of adversarial examples.

        Raises:
            ValueError: the file doesn't hold it.
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
        """Which of n things are examined: all, or as many as the sample allows, evenly spread."""
        wanted = min(n, self.options.sample or n)
        return torch.linspace(0, n - 1, wanted).round().long() if wanted else torch.arange(0)

"""The request for a model, and the loaded model."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bench.data import Dataset
from bench.models.checkpoint import Metadata, file_of
from bench.models.sources.weights import load_into, read


@dataclass(frozen=True)
class Request:
    """A model's full name, the part after its scheme, its data, and further options."""

    spec: str
    rest: str
    data: Dataset
    arch: str | None
    weights: Path | None

    def fill(self, model: nn.Module) -> None:
        """Load the given weights, if any, into `model`.

        Raises:
            CrossfireError: they are missing or damaged, or of another model.
        """
        if self.weights is not None:
            load_into(model, read(file_of(self.weights)), f"{self.weights} ({self.spec})")


@dataclass(frozen=True)
class Found:
    """A module, its name, its architecture, and its metadata if it is a checkpoint of ours."""

    model: nn.Module
    name: str
    arch: str
    metadata: Metadata | None = None

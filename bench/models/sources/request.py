"""The request for a model, and the loaded model."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from bench.data import Dataset
from bench.errors import CrossfireError, reason
from bench.models.checkpoint import Metadata
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
            load_into(model, read(self.weights), f"{self.weights} ({self.spec})")


@dataclass(frozen=True)
class Found:
    """A module, its name, its architecture, and its metadata if it is a checkpoint of ours."""

    model: nn.Module
    name: str
    arch: str
    metadata: Metadata | None = None


def call(spec: str, make: Callable[..., Any], **options: Any) -> nn.Module:  # noqa: ANN401
    """The module that `make` returns, or that it is.

    Raises:
        CrossfireError: it fails, or returns something else.
    """
    try:
        model = make if isinstance(make, nn.Module) else make(**options)
    except (Exception, SystemExit) as error:
        raise CrossfireError(f"{spec} fails when it is called ({reason(error)})") from error
    if not isinstance(model, nn.Module):
        raise CrossfireError(f"{spec} gives a {type(model).__name__}, not a torch.nn.Module")
    return model


def missing(spec: str, library: str, error: Exception) -> CrossfireError:
    """The error for a library that is missing or broken; it names the extra to install."""
    return CrossfireError(
        f"{spec} needs {library} ({reason(error)}); run: pip install 'crossfire-bench[{library}]'"
    )


def check_name(spec: str, name: str, names: list[str]) -> None:
    """Check that a library has a model of this name.

    Raises:
        CrossfireError: it has not; the message names the closest ones.
    """
    if name not in names:
        near = ", ".join(get_close_matches(name, names, 3)) or "none is similar"
        raise CrossfireError(f"there is no model '{spec}'; closest: {near}")

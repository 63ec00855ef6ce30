"""Architectures of torchvision and timm, with fresh weights."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from torch import nn

from bench.data.vision import torchvision
from bench.errors import CrossfireError, reason


def torchvision_model(name: str, classes: int, channels: int) -> nn.Module:
    """`torchvision:NAME` for `classes`; its input has three channels, whatever `channels` is.

    Raises:
        CrossfireError: torchvision doesn't work here, or has no such model.
    """
    spec = f"torchvision:{name}"
    models = torchvision("models", spec)
    # Those of other modules return no logits, and some download a part of their weights.
    check_name(spec, name, models.list_models(models))
    return call(spec, models.get_model, name=name, num_classes=classes)


def timm_model(name: str, classes: int, channels: int) -> nn.Module:
    """`timm:NAME` for `classes` and `channels`.

    Raises:
        CrossfireError: timm is not installed, or has no such model.
    """
    spec = f"timm:{name}"
    try:
        import timm
    except ImportError as error:
        raise missing(spec, "timm", error) from error
    check_name(spec, name.partition(".")[0], timm.list_models())
    return call(spec, timm.create_model, model_name=name, num_classes=classes, in_chans=channels)


LIBRARIES: dict[str, Callable[[str, int, int], nn.Module]] = {
    "torchvision": torchvision_model,
    "timm": timm_model,
}


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

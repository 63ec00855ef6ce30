"""Checks that a model fits the data: its input, its classes, its range of pixels."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from bench.data import Dataset
from bench.errors import CrossfireError, reason
from bench.models.normalize import NAMED, Normalize
from bench.types import Images, Labels

SAMPLE = 128
"""Number of images for the clean accuracy."""
AS_IT_IS = "0,1"
"""The normalisation that changes nothing; who asks for it is not asked whether the range is
right."""
ENOUGH = 0.75
"""Clean accuracy from which the range of pixels is not checked."""
GAIN = 0.2
"""A model is refused if another range is more accurate by this plus two standard deviations, which
are at most 1 / sqrt(n) for the accuracy on n images."""


def check_fit(spec: str, model: nn.Module, data: Dataset) -> None:
    """Check that the model accepts the data's images and returns one logit for each class, in the
    mode that it is in.

    Raises:
        CrossfireError: it does not.
    """
    shape = (data.channels, *data.size)
    try:
        logits = _logits(model, torch.zeros(2, *shape))
    except Exception as error:
        size = "x".join(map(str, shape))
        raise CrossfireError(
            f"{spec} does not take the images of {data.name}, {size} ({reason(error)})"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise CrossfireError(f"{spec} must return logits of shape (n, classes)")
    if logits.shape[1] != data.classes:
        raise CrossfireError(
            f"{spec} gives {logits.shape[1]} logits but {data.name} has {data.classes} classes; "
            "a folder lists all classes, in the model's order, in classes.txt; "
            "an npz file has their number as `classes`"
        )


def check_range(
    name: str,
    model: nn.Module,
    bare: nn.Module,
    images: Images,
    labels: Labels,
    normalize: str | None,
    option: str = "--normalize {}",
) -> None:
    """Check that the model is accurate on clean images (n, c, h, w) in [0, 1], on its device.

    `bare` is the same model without the normalisation `normalize`, and `option` how the caller
    chooses one.

    Raises:
        CrossfireError: it would be far more accurate with another normalisation, which is named.
    """
    here, _ = _score(model, images, labels)
    if here >= ENOUGH or normalize == AS_IT_IS:
        return
    channels = images.shape[1]
    texts = [text for text, (mean, _) in NAMED.items() if len(mean) == channels]
    others: dict[str, nn.Module] = {
        option.format(text): nn.Sequential(Normalize.parse(text, channels).to(images.device), bare)
        for text in [*texts, "0.5,0.5", f"0,{1 / 255:.6f}"]
    }
    others["no normalisation"] = bare
    scores = {text: _score(other, images, labels) for text, other in others.items()}
    best = max(scores, key=lambda text: scores[text])
    if scores[best][0] >= here + GAIN + len(labels) ** -0.5:
        as_it_is = f", or with {option.format(AS_IT_IS)} if images in [0, 1] are right"
        raise CrossfireError(
            f"{name} classifies {here:.0%} of {len(labels)} clean images, but "
            f"{scores[best][0]:.0%} with {best}; evaluate it with that"
            f"{as_it_is if normalize is None else ''}"
        )


def _score(model: nn.Module, images: Images, labels: Labels) -> tuple[float, float]:
    """Accuracy, and the mean log-likelihood, which decides between equal accuracies."""
    try:
        logits = _logits(model, images)
    except Exception:  # a model may reject pixels outside its own range
        return 0.0, -math.inf
    likelihood = -float(nn.functional.cross_entropy(logits.double(), labels))
    return float((logits.argmax(1) == labels).float().mean()), likelihood


def _logits(model: nn.Module, images: Images) -> Any:  # noqa: ANN401
    with torch.no_grad():
        return model(images)

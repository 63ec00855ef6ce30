"""Checks of what a caller gives to an evaluation, before the model is queried."""

import torch
from jaxtyping import Int
from torch import Tensor, nn

from bench.errors import CrossfireError
from bench.evaluation import gates
from bench.models import Normalize


def check_model(model: object) -> None:
    """Check that a model is a module.

    Raises:
        CrossfireError: it is something else.
    """
    if not isinstance(model, nn.Module):
        kind = type(model).__name__
        raise CrossfireError(f"the model is a {kind}; give a torch.nn.Module that returns logits")


def normalised(model: nn.Module, normalize: str | None, images: Tensor) -> nn.Module:
    """The model behind a normalisation of its images, if there is one.

    Raises:
        CrossfireError: there is no such normalisation, or it or the images have another shape.
    """
    if normalize is None:
        return model
    return nn.Sequential(Normalize.parse(normalize, as_images(images).shape[1]), model)


def as_images(images: Tensor) -> Tensor:
    """Images (n, c, h, w) as uint8 or float32, on the CPU and without gradient.

    Raises:
        CrossfireError: they have another type, or there are none.
    """
    known = isinstance(images, Tensor) and (
        images.dtype == torch.uint8 or images.is_floating_point()
    )
    if not known:
        raise CrossfireError(
            f"images are {_kind(images)}; give a tensor, uint8 or float32 in [0, 1]"
        )
    if images.dim() != 4 or not images.numel():
        raise CrossfireError(f"images have shape {tuple(images.shape)}; give (n, c, h, w), n > 0")
    images = _ordinary(images.detach().cpu())
    return images if images.dtype == torch.uint8 else images.float()


def in_range(images: Tensor) -> Tensor:
    """Images (n, c, h, w) as given; float pixels that rounding moved out of [0, 1] are clipped.

    Raises:
        gates.Refusal: pixels lie outside [0, 1] by more than rounding.
    """
    if images.dtype == torch.uint8:
        return images
    for part in torch.split(images, 256):
        gates.refuse(list(gates.image_range(part)))
    inside = images.min() >= 0 and images.max() <= 1
    return images if inside else images.clamp(0, 1)


def as_labels(labels: Tensor, images: Tensor) -> Int[Tensor, " n"]:
    """Labels (n,) as int64, on the CPU.

    Raises:
        CrossfireError: they are no class numbers, or not one for each image.
    """
    return _whole_numbers(labels, images, "labels", "class numbers from 0")


def as_numbers(numbers: Tensor, images: Tensor) -> Int[Tensor, " n"]:
    """The positions (n,) of the examples in their data set, as int64, on the CPU.

    Raises:
        CrossfireError: they are no positions, or not one for each image.
    """
    return _whole_numbers(numbers, images, "numbers", "positions in the data set")


def _whole_numbers(values: Tensor, images: Tensor, name: str, what: str) -> Int[Tensor, " n"]:
    whole = isinstance(values, Tensor) and not values.is_floating_point()
    if not whole or values.dtype == torch.bool:
        raise CrossfireError(f"{name} are {_kind(values)}; give an int64 tensor of {what}")
    if tuple(values.shape) != (len(images),):
        raise CrossfireError(
            f"{name} have shape {tuple(values.shape)}; give {what}, one for each of the "
            f"{len(images)} images"
        )
    values = _ordinary(values.long().cpu())
    if int(values.min()) < 0:
        raise CrossfireError(f"{name} begin at {int(values.min())}; give {what}")
    return values


def _ordinary(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of one that was made in inference mode and that gradients can't use."""
    return tensor.clone() if tensor.is_inference() else tensor


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__

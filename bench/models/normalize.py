"""Normalisation as a part of the model, so that attacks and budgets always live in [0, 1]."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Normalize(nn.Module):
    """Subtract the mean and divide by the standard deviation of each channel.

    The two are buffers: they travel with the checkpoint and count in its hash.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    @classmethod
    def centred(cls, channels: int) -> "Normalize":
        """[0, 1] -> [-2, 2]: about zero mean and unit variance for natural images."""
        return cls([0.5] * channels, [0.25] * channels)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Images in [0, 1] -> what the layers behind were trained on."""
        return (x - self.mean) / self.std

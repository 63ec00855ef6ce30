"""Normalisation as a part of the model, so that attacks and budgets refer to pixels in [0, 1]."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.errors import CrossfireError

NAMED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation of red, green and blue over the training sets."""


class Normalize(nn.Module):
    """Subtract the mean and divide by the standard deviation of each channel.

    Both are buffers: they are saved in checkpoints and part of the hash of weights.
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

    @classmethod
    def parse(cls, text: str, channels: int) -> "Normalize":
        """The one that `text` stands for: a name of `NAMED`, or MEAN,STD in units of [0, 1].

        The numbers are one mean and one deviation, or as many of each as there are channels.

        Raises:
            CrossfireError: it is neither, is for another number of channels, or a deviation is 0.
        """
        mean, std = NAMED.get(text, ((), ()))
        if text not in NAMED:
            try:
                numbers = [float(number) for number in text.split(",")]
            except ValueError:
                raise CrossfireError(
                    f"normalisation {text} is neither {', '.join(NAMED)} nor MEAN,STD as numbers"
                ) from None
            half = len(numbers) // 2
            mean, std = tuple(numbers[:half]), tuple(numbers[half:])
            if half == 1:
                mean, std = mean * channels, std * channels
        if len(mean) != channels or len(std) != channels or not all(s > 0 for s in std):
            raise CrossfireError(
                f"normalisation {text} is no mean and positive deviation for {channels} channels"
            )
        return cls(mean, std)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Images in [0, 1] -> normalised images."""
        return (x - self.mean) / self.std

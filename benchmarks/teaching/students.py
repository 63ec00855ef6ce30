"""Students, s of them side by side, each with a random start of its own."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .shapes import Logits, Points, two_logits


def _drawn(seeds: Sequence[int], salt: int, *size: int) -> Tensor:
    """Standard normal numbers (s, *size), each student's from its own seed."""
    generators = [torch.Generator().manual_seed(1000 * seed + salt) for seed in seeds]
    return torch.stack([torch.randn(size, generator=generator) for generator in generators])


class Quadratics(nn.Module):
    """f(x) = Σ aᵢ (wᵢ·x + bᵢ)² + c, the networks with squares of Gilmer et al. 2018.

    The variance of wᵢ·x at the start is that of a unit on normalised inputs: 1 where ‖x‖ = 1.
    """

    def __init__(self, seeds: Sequence[int], d: int, width: int = 64) -> None:
        super().__init__()
        self.weight = nn.Parameter(_drawn(seeds, 1, width, d))
        self.bias = nn.Parameter(0.5 * _drawn(seeds, 2, width))
        self.out = nn.Parameter(_drawn(seeds, 3, width) / width**0.5)
        self.offset = nn.Parameter(torch.zeros(len(seeds)))

    def forward(self, x: Points) -> Logits:
        """Two logits, whose difference is f."""
        units = torch.baddbmm(self.bias[:, None], x, self.weight.mT)
        score = torch.bmm(units.square(), self.out[..., None])[..., 0]
        return two_logits(score + self.offset[:, None])

    def form(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same as xᵀAx + bᵀx + c: A (s, d, d), b (s, d) and c (s,)."""
        weighted = self.out[..., None] * self.weight
        matrix = self.weight.mT @ weighted
        slope = 2 * (self.bias[:, None] @ weighted)[:, 0]
        return matrix, slope, (self.out * self.bias.square()).sum(1) + self.offset


class Networks(nn.Module):
    """Linear layers with ReLU between them; `widths` are those of the input, then of each layer.

    `centre` is taken off every coordinate first.
    """

    def __init__(self, seeds: Sequence[int], widths: Sequence[int], centre: float = 0.0) -> None:
        super().__init__()
        self.centre = centre
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (wide, out) in enumerate(pairwise(widths)):
            gain = (2 / wide) ** 0.5
            self.weights.append(nn.Parameter(gain * _drawn(seeds, 2 * layer, out, wide)))
            self.biases.append(nn.Parameter(0.5 * gain * _drawn(seeds, 2 * layer + 1, out)))

    def forward(self, x: Points) -> Logits:
        """Logits (s, n, k)."""
        out = x - self.centre
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = torch.baddbmm(bias[:, None], torch.relu(out) if layer else out, weight.mT)
        return out

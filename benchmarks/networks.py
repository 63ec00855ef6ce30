"""Small networks of many kinds, and how each is trained, for breadth.py.

An architecture is named by its parts: `small-BODY-ACTIVATION-NORMALISATION`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from bench import models
from bench.models import Normalize

Split = Literal["choose", "judge", "judge-v5"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": lambda: nn.Softplus(beta=5.0),
}
NORMALISATIONS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda width: nn.GroupNorm(4, width),
    "layer": lambda width: nn.GroupNorm(1, width),
    "none": lambda width: nn.Identity(),
}


@dataclass(frozen=True)
class Parts:
    """Factories: `act()` makes an activation, `norm(width)` a normalisation."""

    act: Callable[[], nn.Module]
    norm: Callable[[int], nn.Module]

    def conv(self, inside: int, outside: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        """A 3x3 convolution, normalised and activated."""
        conv = nn.Conv2d(inside, outside, 3, stride, padding=1, groups=groups)
        return nn.Sequential(conv, self.norm(outside), self.act())

    def separable(self, inside: int, outside: int, stride: int) -> nn.Sequential:
        """A depthwise convolution and a 1x1 convolution, each normalised and activated."""
        point = nn.Conv2d(inside, outside, 1)
        depthwise = self.conv(inside, inside, stride, groups=inside)
        return nn.Sequential(depthwise, point, self.norm(outside), self.act())


class Residual(nn.Module):
    """x + f(x), where f keeps the shape."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps or tokens -> the same shape."""
        out: Tensor = x + self.inner(x)
        return out


class Attention(nn.Module):
    """Self-attention with two heads over tokens (n, t, d)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens -> the same shape."""
        out: Tensor = self.heads(tokens, tokens, tokens, need_weights=False)[0]
        return out


class Patches(nn.Module):
    """Non-overlapping patches as tokens (n, t, d), with a learned position."""

    def __init__(self, channels: int, width: int, size: tuple[int, int]) -> None:
        super().__init__()
        side = 4 if min(size) > 16 else 2
        self.embed = nn.Conv2d(channels, width, side, stride=side)
        self.position = nn.Parameter(
            0.02 * torch.randn(1, (size[0] // side) * (size[1] // side), width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images -> tokens."""
        tokens: Tensor = self.embed(x).flatten(2).transpose(1, 2) + self.position
        return tokens


class Mean(nn.Module):
    """The mean over the tokens."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t, d) -> (n, d)."""
        return tokens.mean(1)


def _plain(parts: Parts, channels: int, size: tuple[int, int], width: int) -> list[nn.Module]:
    return [
        parts.conv(channels, width, 2 if min(size) == 28 else 1),
        parts.conv(width, 2 * width, 2),
        parts.conv(2 * width, 2 * width),
        parts.conv(2 * width, 4 * width, 2),
        *_pooled(4 * width),
    ]


def _residual(parts: Parts, channels: int, size: tuple[int, int], width: int) -> list[nn.Module]:
    def block(width: int) -> Residual:
        return Residual(nn.Sequential(parts.conv(width, width), parts.conv(width, width)))

    return [
        parts.conv(channels, width, 2 if min(size) == 28 else 1),
        parts.conv(width, 2 * width, 2),
        block(2 * width),
        parts.conv(2 * width, 4 * width, 2),
        block(4 * width),
        *_pooled(4 * width),
    ]


def _depthwise(parts: Parts, channels: int, size: tuple[int, int], width: int) -> list[nn.Module]:
    return [
        parts.conv(channels, 2 * width, 2 if min(size) == 28 else 1),
        parts.separable(2 * width, 4 * width, 2),
        parts.separable(4 * width, 4 * width, 1),
        parts.separable(4 * width, 8 * width, 2),
        *_pooled(8 * width),
    ]


def _attention(parts: Parts, channels: int, size: tuple[int, int], width: int) -> list[nn.Module]:
    d = 4 * width

    def block() -> list[nn.Module]:
        mlp = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2 * d), parts.act(), nn.Linear(2 * d, d))
        return [Residual(nn.Sequential(nn.LayerNorm(d), Attention(d))), Residual(mlp)]

    return [Patches(channels, d, size), *block(), *block(), nn.LayerNorm(d), Mean()]


def _mlp(parts: Parts, channels: int, size: tuple[int, int], width: int) -> list[nn.Module]:
    inputs = channels * size[0] * size[1]
    hidden = [nn.Linear(inputs, 16 * width), parts.act(), nn.Linear(16 * width, 4 * width)]
    return [nn.Flatten(), *hidden, parts.act()]


def _pooled(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]


BODIES = {
    "plain": (_plain, 12),
    "wide": (_plain, 20),
    "residual": (_residual, 12),
    "depthwise": (_depthwise, 12),
    "attention": (_attention, 12),
    "mlp": (_mlp, 16),
}
FEATURES = {"depthwise": 8, "mlp": 4}
"""Number of a body's features in units of its width; 4 for the others."""


def build(arch: dict[str, str], classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """A freshly initialised network."""
    body, width = BODIES[arch["body"]]
    parts = Parts(ACTIVATIONS[arch["act"]], NORMALISATIONS[arch["norm"]])
    layers = body(parts, channels, size, width)
    features = FEATURES.get(arch["body"], 4) * width
    network = nn.Sequential(Normalize.centred(channels), *layers, nn.Linear(features, classes))
    for layer in network.modules():  # without normalisation torch's default weights are too small
        if isinstance(layer, nn.Conv2d) or (isinstance(layer, nn.Linear) and arch["body"] == "mlp"):
            nn.init.kaiming_normal_(layer.weight)
    return network


def register() -> None:
    """Make the networks of this file available to `bench train --arch`."""
    pattern = r"small-(?P<body>[a-z]+)-(?P<act>[a-z]+)-(?P<norm>[a-z]+)"
    models.EXTRA[pattern] = build


class Scaled(nn.Module):
    """A model whose logits are multiplied by a factor."""

    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (n, c, h, w) in [0, 1]."""
        logits: Tensor = self.factor * self.inner(x)
        return logits


@dataclass(frozen=True)
class Subject:
    """A network of the comparison: `train` are the arguments of `bench train`; its logits are
    multiplied by `scale`."""

    name: str
    dataset: str
    arch: str
    train: str
    split: Split
    scale: float = 1.0


def _subject(row: str) -> Subject:
    name, dataset, arch, train, split, *scale = (cell.strip() for cell in row.split("|"))
    assert split in get_args(Split)
    return Subject(name, dataset, arch, train, split, *map(float, scale))  # type: ignore[arg-type]


SUBJECTS = tuple(map(_subject, Path(__file__).with_name("breadth").joinpath("networks.txt").open()))
"""A third of the first 24 was used to choose settings; the split was fixed before the first attack.
Those of `judge-v5` were added when protocol 5 was final, and are attacked by it only. One line
each: name | data set | architecture | training | split | scale of the logits."""

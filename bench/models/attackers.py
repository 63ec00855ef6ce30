"""Attackers: networks that map an image and its gradient to a perturbation.

They are those of "Learning to Defend by Learning to Attack" (Jiang et al. 2021, arXiv:1811.01213),
as their code has them: pre-activation residual blocks without affine normalisation, then a 3x3
convolution to the image's channels. `perturbation` maps their raw output to a perturbation
within a threat.
"""

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, lift

Kind = Literal["wide", "two-layer", "slim"]
STRIDE = 0.007 / 0.031
"""Share of the attacker's perturbation in a step of the multi-step variant."""

Maps = Float[Tensor, "n c h w"]
NewMaps = Float[Tensor, "n d h w"]


class Block(nn.Module):
    """Normalisation, activation and convolution, twice, and a shortcut."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.bn1, self.act1 = nn.BatchNorm2d(inside, affine=False), nn.PReLU()
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.bn2, self.act2 = nn.BatchNorm2d(outside, affine=False), nn.PReLU()
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        self.shortcut = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()
        for conv in (self.conv1, self.conv2):
            nn.init.xavier_uniform_(conv.weight, 2**0.5)
        if isinstance(self.shortcut, nn.Conv2d):
            nn.init.xavier_uniform_(self.shortcut.weight)

    def forward(self, x: Maps) -> NewMaps:
        """Feature maps -> feature maps."""
        out = self.conv1(self.act1(self.bn1(x)))
        result: Tensor = self.conv2(self.act2(self.bn2(out))) + self.shortcut(x)
        return result


def _stem(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside, eps=1e-3), nn.ReLU())


class Straight(nn.Module):
    """A stem, blocks at full resolution, and a convolution: the wide and the two-layer attacker."""

    def __init__(self, inputs: int, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        blocks = [Block(a, b) for a, b in pairwise(widths)]
        last = nn.Conv2d(widths[-1], channels, 3, padding=1)
        norm = nn.BatchNorm2d(widths[-1], affine=False)
        self.layers = nn.Sequential(_stem(inputs, widths[0]), *blocks, norm, last)

    def forward(self, x: Maps) -> NewMaps:
        """Images and gradients (n, inputs, h, w) -> (n, channels, h, w), any real numbers."""
        out: Tensor = self.layers(x)
        return out


class Slim(nn.Module):
    """Blocks at half resolution, upsampling, concatenation with the input, and a learned scale."""

    def __init__(self, inputs: int, channels: int, width: int) -> None:
        super().__init__()
        self.down = nn.Sequential(
            _stem(inputs, width, stride=2),
            Block(width, 2 * width),
            Block(2 * width, width),
            nn.BatchNorm2d(width, affine=False),
        )
        few = max(1, width // 8)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(width, few, 4, 2, padding=1, bias=False),
            nn.BatchNorm2d(few),
            nn.ReLU(),
        )
        self.last = nn.Conv2d(few + inputs, channels, 3, padding=1, bias=False)
        self.scale = nn.Parameter(torch.tensor(5.0))

    def forward(self, x: Maps) -> NewMaps:
        """Images and gradients (n, inputs, h, w) -> (n, channels, h, w), any real numbers."""
        out = F.interpolate(self.up(self.down(x)), x.shape[2:])
        result: Tensor = self.scale * self.last(torch.cat([out, x], 1))
        return result


def build_attacker(kind: Kind, *, inputs: int, channels: int, width: int = 64) -> nn.Module:
    """An attacker from `inputs` to `channels` channels; `width` is that of its first layer."""
    if kind == "wide":
        return Straight(inputs, channels, (width, 2 * width, 4 * width, 2 * width, width))
    if kind == "two-layer":
        return Straight(inputs, channels, (width, 2 * width, width))
    return Slim(inputs, channels, 2 * width)


def perturbation(raw: Maps, threat: Threat) -> Maps:
    """A perturbation within the ball: ε·tanh(raw) for ℓ∞, as in the paper.

    The others are our own: for ℓ2 the direction of tanh(raw) at length ε; for ℓ1 the budget is
    spread by a softmax over |raw|, so that it can be concentrated on a few pixels.
    """
    direction = raw.tanh()
    if threat.norm == "linf":
        return threat.eps * direction
    if threat.norm == "l2":
        return (
            threat.eps * direction / lift(GEOMETRY["l2"].distance(direction), raw).clamp_min(1e-6)
        )
    shares = raw.abs().flatten(1).softmax(1).view_as(raw)
    return threat.eps * direction * shares


def shrink(delta: Maps, threat: Threat) -> Maps:
    """`delta` within the ball: clipped for ℓ∞, scaled down for the other norms. Differentiable."""
    if threat.norm == "linf":
        return delta.clamp(-threat.eps, threat.eps)
    size = lift(GEOMETRY[threat.norm].distance(delta), delta)
    return delta * (threat.eps / size.clamp_min(1e-12)).clamp_max(1)

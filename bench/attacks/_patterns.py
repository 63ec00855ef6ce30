"""Positions of the squares of Square attack, and the patterns that fill them in ℓ2 and ℓ1
(Andriushchenko et al. 2020, section 3.3)."""

import math
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench.threats import Norm
from bench.threats.geometry import Points

DECAY: dict[Norm, int] = {"l2": 2, "l1": 4}
"""How fast a pattern decays: the k-th square ring around the centre adds k to the power −DECAY."""


def side(area: float, h: int, w: int, norm: Norm) -> int:
    """The side of a square that covers a share of the image; in ℓ2 and ℓ1 odd and at least 3."""
    length = max(1, round(math.sqrt(area * h * w)))
    if norm != "linf":
        length = max(3, length + 1 - length % 2)
    return min(length, h, w)


def window(
    top: Int[Tensor, " n"], left: Int[Tensor, " n"], size: Int[Tensor, " n"], like: Points
) -> Float[Tensor, "n 1 h w"]:
    """1 inside each slot's square, 0 outside."""
    rows = _offset(top, like.shape[2])
    columns = _offset(left, like.shape[3])
    inside_rows = (rows >= 0) & (rows < size[:, None])
    inside_columns = (columns >= 0) & (columns < size[:, None])
    return (inside_rows[:, None, :, None] & inside_columns[:, None, None, :]).to(like.dtype)


def placed(
    patterns: Float[Tensor, "p s s"],
    which: Int[Tensor, " n"],
    top: Int[Tensor, " n"],
    left: Int[Tensor, " n"],
    like: Points,
) -> Float[Tensor, "n 1 h w"]:
    """Each slot's pattern with its corner at (top, left); patterns are 0 beyond their own size."""
    last = patterns.shape[1] - 1
    rows = _offset(top, like.shape[2]).clamp(-1, last)
    columns = _offset(left, like.shape[3]).clamp(-1, last)
    return patterns[which[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]


@cache
def table(norm: Norm, sides: tuple[int, ...], device: torch.device) -> Float[Tensor, "p s s"]:
    """For each side the pattern and its transpose, padded with zeros below and to the right."""
    patterns = torch.zeros(2 * len(sides), max(sides) + 1, max(sides) + 1)
    for number, length in enumerate(sides):
        pattern = balanced(norm, length)
        patterns[2 * number, :length, :length] = pattern
        patterns[2 * number + 1, :length, :length] = pattern.T
    return patterns.to(device)


def balanced(norm: Norm, length: int) -> Float[Tensor, "s s"]:
    """A positive upper half and a negative lower half, at unit norm (eq. 2 of the paper)."""
    upper = length // 2
    pattern = torch.cat([_half(norm, upper, length), -_half(norm, length - upper, length)])
    return pattern / (pattern.norm() if norm == "l2" else pattern.abs().sum())


def _half(norm: Norm, height: int, width: int) -> Float[Tensor, "h w"]:
    """Values that decay from the centre, at unit norm."""
    if not height:
        return torch.zeros(0, width)
    rings = torch.arange(1, max(height, width) // 2 + 2).float() ** -DECAY[norm]
    level = rings.flip(0).cumsum(0).flip(0)
    distance = torch.maximum(
        (torch.arange(height) - height // 2).abs()[:, None],
        (torch.arange(width) - width // 2).abs(),
    )
    half = level[distance]
    return half / (half.norm() if norm == "l2" else half.sum())


def _offset(corner: Int[Tensor, " n"], length: int) -> Int[Tensor, "n length"]:
    return torch.arange(length, device=corner.device) - corner[:, None]

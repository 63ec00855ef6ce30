"""What a tensor of s students holds, by name, and functions between them."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Points = Float[Tensor, "s n d"]
Logits = Float[Tensor, "s n k"]
Labels = Int[Tensor, "s n"]
Values = Float[Tensor, "s n"]
Indices = Int[Tensor, "s m"]

Model = Callable[[Tensor], Tensor]
"""Points (s, n, d) -> logits (s, n, k)."""


def at(values: Tensor, indices: Indices) -> Tensor:
    """Of `values` (s, n) or (s, n, d), for each student those at its `indices` (s, m)."""
    if values.ndim == 2:
        return values.gather(1, indices)
    return values.gather(1, indices[..., None].expand(-1, -1, values.shape[2]))


def scores(logits: Logits) -> Values:
    """z1 − z0: positive where the second of two classes is predicted."""
    return logits[..., 1] - logits[..., 0]


def two_logits(score: Values) -> Logits:
    """Logits of two classes whose difference is `score`."""
    half = score[..., None] / 2
    return torch.cat([-half, half], -1)

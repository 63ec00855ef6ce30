"""A threat model: a norm and a budget."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, get_args

from bench.errors import CrossfireError
from leaderboard.budget import parse_epsilon

Norm = Literal["linf", "l2", "l1"]
NORMS: tuple[Norm, ...] = get_args(Norm)
LARGEST = 1e9
"""Of epsilons: no two images of any size in use are farther apart."""


@dataclass(frozen=True)
class Threat:
    """All perturbations whose norm is at most epsilon, in pixel units of [0, 1].

    Epsilon is the exact fraction that was typed, so 8/255 never becomes 0.031.
    """

    norm: Norm
    epsilon: Fraction
    typed: str = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> "Threat":
        """Read `NORM:EPSILON`, for example `linf:8/255` or `l2:0.5`.

        Raises:
            CrossfireError: the norm is unknown, or epsilon isn't a positive number or is too large;
                or it is one of ℓ∞ above 1, which allows every image.
        """
        norm, colon, epsilon = text.strip().lower().partition(":")
        epsilon = epsilon.strip()
        if norm not in NORMS or not colon:
            raise CrossfireError(f"threat '{text}' is not NORM:EPSILON; write e.g. linf:8/255")
        try:
            value = parse_epsilon(epsilon)
            rounded = float(value)
        except (ValueError, OverflowError):
            raise CrossfireError(
                f"epsilon '{epsilon}' in '{text}' is not a number such as 8/255 or 0.5"
            ) from None
        if rounded <= 0:
            raise CrossfireError(f"epsilon in '{text}' must be greater than 0")
        if rounded > LARGEST:
            raise CrossfireError(f"epsilon in '{text}' must be at most {LARGEST:.0e}")
        if norm == "linf" and value > 1:
            raise CrossfireError(
                f"'{text}' allows every image, because pixels lie in [0, 1]; write e.g. 8/255"
            )
        return cls(norm, value, epsilon)

    @property
    def eps(self) -> float:
        """Epsilon as the nearest float64."""
        return float(self.epsilon)

    def __str__(self) -> str:
        return f"{self.norm}:{self.typed}"

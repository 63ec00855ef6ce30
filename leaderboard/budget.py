"""The text of a threat as norm and exact epsilon."""

from fractions import Fraction
from functools import cache
from typing import NamedTuple

NORMS = ("linf", "l2", "l1")
"""The norms of threats, in the order of a table's columns."""


class Budget(NamedTuple):
    """Norm and epsilon of a threat."""

    norm: str
    epsilon: Fraction


@cache
def parse_threat(text: str) -> Budget:
    """Read `NORM:EPSILON`; epsilon in pixel units of [0, 1], as an exact fraction.

    Raises:
        ValueError: the text is not a threat.
    """
    norm, _, epsilon = text.partition(":")
    try:
        budget = Budget(norm, Fraction(epsilon))
    except (ValueError, ZeroDivisionError):
        budget = Budget(norm, Fraction(0))
    if norm not in NORMS or budget.epsilon <= 0:
        raise ValueError(f"'{text}' is not a threat such as linf:8/255")
    return budget

"""The text of a threat as norm and exact epsilon."""

import re
from fractions import Fraction
from functools import cache
from typing import NamedTuple

NORMS = ("linf", "l2", "l1")
"""The norms of threats, in the order of a table's columns."""

_NUMBER = re.compile(r"-?([0-9]+/[0-9]+|([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,3})?)")
"""`Fraction` also reads signs, blanks and underscores, with which no column's name can be read."""


class Budget(NamedTuple):
    """Norm and epsilon of a threat."""

    norm: str
    epsilon: Fraction


def parse_epsilon(text: str) -> Fraction:
    """Read `8/255`, `0.5` or `1e-3`, as an exact fraction.

    Raises:
        ValueError: the text is written otherwise, or divides by zero.
    """
    try:
        return Fraction(text if _NUMBER.fullmatch(text) else "")
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"'{text}' is not a number such as 8/255 or 0.5") from None


@cache
def parse_threat(text: str) -> Budget:
    """Read `NORM:EPSILON`; epsilon in pixel units of [0, 1], as an exact fraction.

    Raises:
        ValueError: the text is not a threat.
    """
    norm, _, epsilon = text.partition(":")
    try:
        budget = Budget(norm, parse_epsilon(epsilon))
    except ValueError:
        budget = Budget(norm, Fraction(0))
    if norm not in NORMS or budget.epsilon <= 0:
        raise ValueError(f"'{text}' is not a threat such as linf:8/255")
    return budget

from fractions import Fraction

import pytest

from leaderboard.budget import Budget, parse_threat

UNUSUAL = ("linf:+8/255", "l2:1_0/10", "l2: 0.5", "linf:８/255", "l2:1e1000000")
"""Python reads these as numbers, but columns named after them could not be read."""


def test_epsilon_is_the_fraction_that_was_typed() -> None:
    assert parse_threat("linf:8/255") == Budget("linf", Fraction(8, 255))
    assert parse_threat("l2:0.5") == Budget("l2", Fraction(1, 2))
    assert parse_threat("l1:1e-3") == Budget("l1", Fraction(1, 1000))


@pytest.mark.parametrize(
    "text", [*("linf", "l3:1", "linf:0", "l1:-1", "linf:8/0", "l2:", "linf:x"), *UNUSUAL]
)
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a threat such as linf:8/255"):
        parse_threat(text)

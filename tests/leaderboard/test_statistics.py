from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from leaderboard.statistics import sign_test, smallest_gap, wilson

COUNTS = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_wilson_agrees_with_scipy(counts: tuple[int, int]) -> None:
    expected = binomtest(*counts).proportion_ci(method="wilson")
    assert wilson(*counts) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [(10_000, 0.4902, 0.5098), (5_000, 0.4861, 0.5139), (1_000, 0.4691, 0.5309)],
)
def test_wilson_of_one_half(n: int, low: float, high: float) -> None:
    assert wilson(n / 2, n) == pytest.approx((low, high), abs=5e-5)


@given(COUNTS)
def test_the_interval_contains_the_share_and_lies_in_zero_to_one(
    counts: tuple[int, int],
) -> None:
    low, high = wilson(*counts)
    assert 0 <= low <= counts[0] / counts[1] + 1e-12
    assert counts[0] / counts[1] - 1e-12 <= high <= 1


@given(COUNTS)
def test_the_sign_test_is_exact(counts: tuple[int, int]) -> None:
    heads, n = counts
    fewer = min(heads, n - heads)
    exact = Fraction(2 * sum(comb(n, k) for k in range(fewer + 1)), 2**n)
    assert sign_test(fewer, n) == pytest.approx(float(min(exact, 1)), rel=1e-8, abs=1e-300)


@given(st.integers(1, 400))
def test_the_smallest_gap_is_just_significant(disagreeing: int) -> None:
    n = 1000
    gap = smallest_gap(disagreeing, n)
    if gap is None:
        assert sign_test(0, disagreeing) >= 0.05
        return
    fewer = round((disagreeing - gap * n) / 2)
    assert sign_test(fewer, disagreeing) < 0.05
    assert fewer == disagreeing // 2 or sign_test(fewer + 1, disagreeing) >= 0.05


def test_more_disagreement_needs_a_wider_gap() -> None:
    gaps = [smallest_gap(share, 1000) or 0 for share in (20, 50, 100)]
    assert gaps == pytest.approx([0.0088, 0.0139, 0.0196], abs=0.004)
    assert gaps == sorted(gaps)

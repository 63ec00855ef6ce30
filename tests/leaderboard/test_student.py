import math

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as scipy_t

from leaderboard.student import quantile, two_sided


@pytest.mark.parametrize("dof", [1, 2, 3, 4, 9, 30, 100])
def test_tails_and_quantiles_agree_with_scipy(dof: int) -> None:
    for p in (0.999, 0.9, 0.5, 0.05, 1e-4, 4e-9):
        t = -scipy_t.ppf(p / 2, dof)
        assert two_sided(t, dof) == pytest.approx(p, rel=1e-7)
        assert quantile(p, dof) == pytest.approx(t, rel=1e-7)


@pytest.mark.parametrize(("dof", "share"), [(1, 0.1), (2, 0.5), (4, 0.9)])
def test_the_sum_of_a_normal_number_and_of_students_has_the_tail_of_its_draws(
    dof: int, share: float
) -> None:
    rng, n = np.random.default_rng(0), 1_000_000
    drawn = math.sqrt(1 - share) * rng.standard_normal(n)
    drawn += math.sqrt(share) * rng.standard_t(dof, n)
    for t in (1.0, 2.5, 6.0):
        expected = np.mean(np.abs(drawn) > t)
        error = 5 * math.sqrt(expected / n)
        assert two_sided(t, dof, share) == pytest.approx(expected, abs=error)
    assert two_sided(quantile(1e-5, dof, share), dof, share) == pytest.approx(1e-5)


def test_without_students_share_it_is_the_normal_distribution() -> None:
    assert two_sided(2.0, 3, 0.0) == pytest.approx(2 * norm.sf(2.0))


def test_the_tail_at_zero_and_infinity() -> None:
    assert two_sided(0.0, 4) == 1
    assert two_sided(float("inf"), 4) == 0

import pytest
from scipy.stats import t as scipy_t

from leaderboard.student import quantile, two_sided


@pytest.mark.parametrize("dof", [1, 2, 3, 4, 9, 30, 100])
def test_tails_and_quantiles_agree_with_scipy(dof: int) -> None:
    for t in (1e-3, 0.5, 1.0, 2.0, 5.0, 50.0, 1e4):
        assert two_sided(t, dof) == pytest.approx(2 * scipy_t.sf(t, dof), rel=1e-10)
    for p in (0.9, 0.05, 1e-4, 4e-9):
        assert quantile(p, dof) == pytest.approx(-scipy_t.ppf(p / 2, dof), rel=1e-10)


def test_the_tail_at_zero_and_infinity() -> None:
    assert two_sided(0.0, 4) == 1
    assert two_sided(float("inf"), 4) == 0

"""The sum of a normal number and a multiple of Student's t: how a difference varies over images and
seeds.

    two_sided(t, 4, 0.5)    how likely sqrt(0.5) Z + sqrt(0.5) T is at least t from zero

Student's t with `dof` degrees of freedom is normal with variance dof / c, c drawn from chi-square;
so the sum is normal too for each c, and its tail is one integral over log c. The trapezoid rule
converges exponentially here. `scipy.stats` lacks the sum, and importing scipy takes longer than
reading a board; the script of the HTML page uses the same algorithm.
"""

import math
from functools import lru_cache
from statistics import NormalDist

_POINTS = 256
"""Of the integral: enough for ten digits, from 1 to 100 degrees of freedom."""


def two_sided(t: float, dof: int, share: float = 1.0) -> float:
    """Probability that the sum is at least `t` from zero; `share` of its variance, if that of
    Student's t is taken for 1, is Student's."""
    if t <= 0:
        return 1.0
    if math.isinf(t):
        return 0.0
    half = t / math.sqrt(2)
    return math.fsum(
        weight * math.erfc(half / math.sqrt(1 - share + share * variance))
        for weight, variance in _grid(dof)
    )


@lru_cache(maxsize=65_536)
def quantile(p: float, dof: int, share: float = 1.0) -> float:
    """The t whose `two_sided` probability is `p`, in (0, 1)."""
    log_t, step = math.log(-NormalDist().inv_cdf(p / 2)), 1.0
    while abs(step) > 1e-12:
        t = math.exp(log_t)
        tail = two_sided(t, dof, share)
        step = math.log(tail / p) * tail / (t * _density(t, dof, share))
        log_t += step
    return math.exp(log_t)


def _density(t: float, dof: int, share: float) -> float:
    """Minus the derivative of `two_sided`."""
    variances = ((weight, 1 - share + share * variance) for weight, variance in _grid(dof))
    return math.fsum(
        weight * math.sqrt(2 / math.pi / v) * math.exp(-t * t / 2 / v) for weight, v in variances
    )


@lru_cache(maxsize=1024)
def _grid(dof: int) -> tuple[tuple[float, float], ...]:
    """Probabilities of values of chi-square, and the variances of t for them."""
    low = math.log(dof) - 80 / dof - 12 / math.sqrt(dof)
    high = math.log(dof + 20 * math.sqrt(dof) + 60)
    width = (high - low) / _POINTS
    norm = math.lgamma(dof / 2) + dof / 2 * math.log(2)
    logs = [low + k * width for k in range(_POINTS + 1)]
    return tuple(
        (width * math.exp(dof / 2 * x - math.exp(x) / 2 - norm), dof / math.exp(x)) for x in logs
    )

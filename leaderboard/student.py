"""Student's t distribution for whole degrees of freedom, from a continued fraction.

`scipy.stats.t` has the same values (a test compares them), but importing scipy takes longer than
reading a board, and the script of the HTML page uses the same algorithm.
"""

import math
from functools import lru_cache
from statistics import NormalDist

_DEPTH = 30
"""Levels of the continued fraction: enough for 12 digits up to 100 degrees of freedom."""


def two_sided(t: float, dof: int) -> float:
    """Probability that Student's t with `dof` degrees of freedom is at least `t` from zero."""
    if t <= 0:
        return 1.0
    square = t * t
    if math.isinf(square):
        return 0.0
    below, above = math.log1p(square / dof), math.log1p(dof / square)
    a, b = dof / 2, 0.5
    front = math.exp(_log_beta(dof) - a * below - b * above)
    x = dof / (dof + square)
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, square / (dof + square)) / b


@lru_cache(maxsize=65_536)
def quantile(p: float, dof: int) -> float:
    """The t whose `two_sided` probability is `p`, in (0, 1)."""
    log_t, step = math.log(-NormalDist().inv_cdf(p / 2)), 1.0
    while abs(step) > 1e-12:
        t = math.exp(log_t)
        tail = two_sided(t, dof)
        log_density = _log_beta(dof) - (dof + 1) / 2 * math.log1p(t * t / dof)
        slope = 2 * t * math.exp(log_density) / math.sqrt(dof) / tail
        step = math.log(tail / p) / slope
        log_t += step
    return math.exp(log_t)


@lru_cache(maxsize=1024)
def _log_beta(dof: int) -> float:
    """-log B(dof / 2, 1 / 2)."""
    return math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - math.log(math.pi) / 2


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), from its end."""
    value = 1.0
    for m in range(_DEPTH, -1, -1):
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        value = 1 + odd / value
        if m:
            value = 1 + m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)) / value
    return 1 / value

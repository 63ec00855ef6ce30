"""The curve on a card of the page as coordinates, which `page/curve.svg` draws."""

from collections.abc import Iterable
from typing import Any

from bench.report.evidence import Curve
from bench.report.wording import percent, symbol

_LEFT, _TOP, _WIDTH, _HEIGHT = 38, 26, 200, 120
"""The rectangle of the curve, in pixels."""
_MARGIN = 1.08
"""The largest epsilon of the axis, in multiples of the largest one measured."""


def drawing(curve: Curve) -> dict[str, Any]:
    """What the template needs: words, and coordinates in pixels."""
    last = curve.points[-1].epsilon

    def x(epsilon: float) -> float:
        return round(_LEFT + _WIDTH * epsilon / (_MARGIN * last), 1)

    def y(share: float) -> float:
        return round(_TOP + _HEIGHT * (1 - share), 1)

    def path(points: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{x(epsilon):g},{y(share):g}" for epsilon, share in points)

    at_zero, at_last = (percent(share) for _, share in (curve.line[0], curve.line[-1]))
    return {
        "norm": curve.norm,
        "name": symbol(curve.norm),
        "title": f"Accuracy against {curve.norm} epsilon: {at_zero} % at 0, "
        f"{at_last} % at {last:.3g}",
        "line": path(curve.line),
        "band": path([*curve.line, *_lower_bound(curve)[::-1]]),
        "points": [(x(p.epsilon), y(p.accuracy), *map(y, p.interval)) for p in curve.points],
        "columns": [(x(epsilon), f"{epsilon:.3g}") for epsilon in (0.0, last / 2, last)],
        "rows": [(y(k / 4), 25 * k) for k in range(5)],
    }


def _lower_bound(curve: Curve) -> list[tuple[float, float]]:
    """The least that accuracy can be between measured points: that of the next point, since what a
    smaller epsilon breaks is broken under every larger one."""
    return [
        corner
        for left, right in zip(curve.points, curve.points[1:], strict=False)
        for corner in ((left.epsilon, right.accuracy), (right.epsilon, right.accuracy))
    ]

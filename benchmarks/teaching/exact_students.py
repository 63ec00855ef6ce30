"""The exact robust accuracy of students with respect to a known teacher."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .exact import worst_piecewise, worst_quadratic
from .shapes import Points, Values, scores
from .students import Networks, Quadratics
from .teachers import Known, Support, radii, sample


@dataclass(frozen=True)
class Measured:
    """Shares (s,) of the test points, one a student; `undecided` counts points, of all students."""

    clean: Tensor
    robust: Tensor
    labelled: Tensor | None = None
    undecided: int = 0


def measure(
    students: nn.Module,
    teacher: Known,
    seeds: Sequence[int],
    support: Support,
    *,
    eps: float,
    tests: int,
) -> Measured:
    """How often students agree with the teacher at fresh points, and everywhere around them.

    Around a point means within ε, or 0.8 of the distance to the teacher's boundary where that is
    less: what the teacher says at the point it says in the whole ball.
    """
    x, y = sample(teacher, seeds, tests, support, salt=7)
    x, sign, students = x.double(), (2 * y - 1).double(), students.double()
    with torch.no_grad():
        clean = scores(students(x)) * sign > 0
        lower, upper = worst(students, x, sign, radii(teacher, x, eps))
    undecided = int(((lower <= 0) & (upper > 0)).sum())
    return Measured(clean.double().mean(1), (lower > 0).double().mean(1), undecided=undecided)


def worst(students: nn.Module, x: Points, sign: Values, radius: Values) -> tuple[Values, Values]:
    """A lower and an upper bound of the least sign · f in each ball, in float64."""
    if isinstance(students, Quadratics):
        matrix, slope, offset = students.form()
        high = worst_quadratic(matrix, slope, offset, x, radius)
        low = worst_quadratic(-matrix, -slope, -offset, x, radius)
        return _by_sign(sign, high[0], low[0]), _by_sign(sign, high[1], low[1])
    if not isinstance(students, Networks):
        raise TypeError(f"no exact worst case is known of {type(students).__name__}")
    least = torch.stack([_piecewise(students, i, x[i], sign[i], radius[i]) for i in range(len(x))])
    return least, least


def _piecewise(students: Networks, i: int, x: Tensor, sign: Tensor, radius: Tensor) -> Tensor:
    weight, bias = students.weights[0][i], students.biases[0][i]
    out = students.weights[1][i][1] - students.weights[1][i][0]
    offset = students.biases[1][i][1] - students.biases[1][i][0]
    high = worst_piecewise(weight, bias, out, offset, x, radius)
    low = worst_piecewise(weight, bias, -out, -offset, x, radius)
    return _by_sign(sign, high, low)


def _by_sign(sign: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    return torch.where(sign > 0, positive, negative)

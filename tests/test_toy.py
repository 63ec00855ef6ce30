"""The exact worst case of linear models is attained, and no perturbation is worse."""

import pytest
import torch

from bench.losses import targeted_margin
from bench.threats import NORMS, Norm, Threat
from bench.threats.geometry import GEOMETRY
from tests.toy import exact_worst_case, images, linear_model

EPS = {"linf": "0.05", "l2": "0.3", "l1": "0.8"}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 5])
def test_projected_ascent_attains_the_exact_worst_case_and_no_more(
    norm: Norm, classes: int
) -> None:
    model, x = linear_model(1, classes=classes).double(), images(2, 40).double()
    y = model(x).argmax(1)
    threat = Threat.parse(f"{norm}:{EPS[norm]}")
    reached = torch.full((len(x),), torch.inf).double()
    for other in range(classes):
        slope = (model.weight[other] - model.weight[y]).reshape(x.shape)
        for stride in (0.01, 1, 1000):  # in the limit, the projection solves the linear problem
            delta = GEOMETRY[norm].project(x, stride * slope, threat.eps)
            margin = -targeted_margin(model(x + delta), y, torch.full_like(y, other))
            reached = torch.minimum(reached, margin.masked_fill(y == other, torch.inf))
    worst = exact_worst_case(model, x, y, threat)
    assert (reached >= worst - 1e-7).all()
    torch.testing.assert_close(reached, worst, atol=1e-4, rtol=0)
    assert 0 < (worst > 0).sum() < len(x)

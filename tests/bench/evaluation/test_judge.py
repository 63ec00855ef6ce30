"""The judge verifies every attack's points itself."""

import pytest
import torch

from bench.evaluation.judge import Judge, Violation, allowed, distances
from bench.threats import Threat
from tests.toy import images, linear_model

SHAPE = (1, 6, 6)
MODEL = linear_model(0, SHAPE)
X = images(1, 8, SHAPE)
Y = MODEL(X).argmax(1)


@pytest.mark.parametrize("threat", ["linf:0.1", "l2:0.5", "l1:2"])
def test_a_point_outside_its_ball_is_an_error_that_names_its_distance(threat: str) -> None:
    points = (X + 0.4).clamp(0, 1)
    with pytest.raises(Violation, match=r"distance \d.* is more than"):
        Judge(MODEL).adversarial(X, points, Y, Threat.parse(threat))


@pytest.mark.parametrize("value", [1.001, -0.001, torch.nan, torch.inf])
def test_a_pixel_outside_the_box_is_an_error(value: float) -> None:
    points = X.clone()
    points[0, 0, 0, 0] = value
    with pytest.raises(Violation):
        Judge(MODEL).adversarial(X, points, Y, Threat.parse("l2:2"))


def test_points_outside_are_ignored_if_the_attack_is_not_bounded() -> None:
    points = 1 - X
    broken, _ = Judge(MODEL).adversarial(X, points, Y, Threat.parse("linf:0.01"), bounded=False)
    assert bool(Judge(MODEL).wrong(points, Y).any())
    assert not bool(broken.any())


def test_distances_are_measured_in_float64() -> None:
    x = torch.full((1, 1, 1, 1), 0.7)
    far = distances(x, x + 8 / 255, Threat.parse("linf:8/255"))
    assert far.dtype == torch.float64
    assert float(far) == pytest.approx(8 / 255, abs=6e-8)


def test_the_majority_of_votes_decides_for_a_random_model() -> None:
    classes = iter([0, 1, 1, 0, 1])

    def random_model(points: torch.Tensor) -> torch.Tensor:
        return torch.eye(2)[next(classes)].expand(len(points), 2)

    assert Judge(random_model, votes=5).wrong(X[:1], torch.zeros(1, dtype=torch.int64)).item()


@pytest.mark.parametrize(("text", "pixels"), [("linf:8/255", 1), ("l2:0.5", 6), ("l1:12", 36)])
def test_the_ball_ends_at_epsilon(text: str, pixels: int) -> None:
    threat, x = Threat.parse(text), torch.full((1, *SHAPE), 0.5)
    for factor, outside in ((1.0, False), (1.001, True)):
        far = distances(x, x + factor * threat.eps / pixels, threat)
        assert bool(far > allowed(threat)) is outside


def test_it_predicts_in_float32_whatever_surrounds_it() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 3)).eval()
    with torch.no_grad():
        expected = net(X)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Judge(net).logits(X), expected)

"""Margin ascent stops early where a class is out of reach, and can begin in a larger ball."""

import torch
from torch import Tensor, nn

from bench.attacks.margin import MarginPGD
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from tests.toy import images, linear_model
from tests.walk import fresh, inside, walk

SHAPE = (1, 8, 8)
L2 = Threat.parse("l2:1")


def test_the_ball_shrinks_to_the_threats_in_the_first_half_of_the_steps() -> None:
    model, x = linear_model(3, SHAPE, 3), images(5, 4, SHAPE)
    y = model(x).argmax(1)
    attack = MarginPGD(steps=10, slack=0.0, noise=1.0, wide=3.0)
    states = walk(model, attack, fresh(x, y, (y + 1) % 3), L2)
    distance = GEOMETRY["l2"].distance
    assert bool((distance(states[0].point - x) > 2).all())
    assert all(bool(inside(state, L2).all()) for state in states[6:])


def test_an_ascent_stops_at_once_if_the_linearised_margin_is_negative_everywhere() -> None:
    model, x = linear_model(3, SHAPE, 3), images(5, 4, SHAPE)
    y = model(x).argmax(1)
    far = Threat.parse("l2:0.0001")
    states = walk(model, MarginPGD(slack=1.0), fresh(x, y, (y + 1) % 3), far)
    assert len(states) == 2
    assert bool(states[-1].done.all())


class Threshold(nn.Module):
    """Class 1 needs a brighter image, but below a threshold its gradient is zero."""

    def forward(self, x: Tensor) -> Tensor:
        brightness = (x - 0.5).flatten(1).sum(1) / 8
        return torch.stack([torch.full_like(brightness, 0.2), (brightness - 0.5).relu()], 1)


def test_a_larger_ball_crosses_a_region_without_slope() -> None:
    x, y = torch.full((16, *SHAPE), 0.5), torch.zeros(16, dtype=torch.int64)

    def found(wide: float) -> int:
        attack = MarginPGD(steps=40, slack=0.0, noise=1.0, wide=wide)
        last = walk(Threshold(), attack, fresh(x, y, y + 1), L2)[-1]
        assert bool(inside(last, L2).all())
        return int((Threshold()(last.point).argmax(1) == 1).sum())

    assert found(3.0) > found(0.0) == 0

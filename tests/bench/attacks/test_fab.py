"""FAB finds the nearest adversarial example; its projections are exact."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.attacks._hyperplane import toward
from bench.attacks.fab import FAB
from bench.losses import margin
from bench.threats import NORMS, Norm, Threat
from bench.threats.geometry import GEOMETRY
from tests.toy import images, linear_model
from tests.walk import fresh, walk


def least_movement(norm: Norm, change: Tensor, rate: Tensor, room: Tensor) -> Tensor:
    """The movement of least norm within `room` that changes the function by `change`, float64."""
    if norm == "l1":
        order = rate.argsort(1, descending=True)
        best, offered = rate.gather(1, order), room.gather(1, order)
        left = change[:, None] - (best * offered).cumsum(1) + best * offered
        return torch.zeros_like(room).scatter(1, order, (left / best).clamp(min=0).minimum(offered))
    slope = torch.ones_like(rate) if norm == "linf" else rate
    low, high = torch.zeros_like(change)[:, None], torch.full_like(change, 1e6)[:, None]
    for _ in range(100):
        middle = (low + high) / 2
        moved = torch.minimum(middle * slope, room)
        enough = (rate * moved).sum(1, keepdim=True) >= change[:, None]
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return torch.minimum(high * slope, room)


@given(st.sampled_from(NORMS), st.integers(0, 1000), st.floats(0.01, 0.9))
@settings(max_examples=40)
def test_the_movement_to_a_plane_is_the_least_one(norm: Norm, seed: int, far: float) -> None:
    x = images(seed, 4, (1, 5, 5))
    gradient = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(seed)) ** 3
    room = torch.where(gradient < 0, 1 - x, x).flatten(1).double()
    rate = gradient.flatten(1).abs().double()
    value = far * (rate * room).sum(1)
    moved = toward(norm, gradient)(x, value.float())
    exact = -gradient.flatten(1).sign() * least_movement(norm, value, rate, room)
    scale = float(exact.abs().max())
    torch.testing.assert_close(moved.flatten(1).double(), exact, atol=2e-3 * scale, rtol=0)
    assert bool(((x + moved >= -1e-7) & (x + moved <= 1 + 1e-7)).all())


@pytest.mark.parametrize("norm", NORMS)
def test_pixels_move_to_their_bounds_if_the_plane_is_outside_the_box(norm: Norm) -> None:
    x = torch.tensor([[[[0.2, 0.7, 0.4]]]])
    gradient = torch.tensor([[[[1.0, -2.0, 0.0]]]])
    moved = toward(norm, gradient)(x, torch.tensor([100.0]))
    torch.testing.assert_close(moved, torch.tensor([[[[-0.2, 0.3, 0.0]]]]))
    moved = toward(norm, gradient)(x, torch.tensor([-100.0]))
    torch.testing.assert_close(moved, torch.tensor([[[[0.8, -0.7, 0.0]]]]))


@pytest.mark.parametrize("norm", NORMS)
def test_a_zero_gradient_gives_no_movement(norm: Norm) -> None:
    x = images(0, 2)
    assert bool((toward(norm, torch.zeros_like(x))(x, torch.ones(2)) == 0).all())


def test_in_l1_all_pixels_move_if_the_largest_rates_do_not_suffice() -> None:
    x = torch.full((1, 1, 20, 20), 0.5)
    gradient = torch.linspace(1, 2, 400).reshape(1, 1, 20, 20)
    moved = toward("l1", gradient)(x, torch.tensor([0.45 * 600.0]))
    assert float(-(gradient * moved).sum()) == pytest.approx(270, rel=1e-3)
    assert float(moved.abs().max()) <= 0.5


@pytest.mark.parametrize("norm", NORMS)
def test_the_nearest_adversarial_example_of_a_linear_model_is_found(norm: Norm) -> None:
    model, x = linear_model(3), images(4, 12)
    y = model(x).argmax(1)
    threat = Threat.parse(f"{norm}:0.1")  # FAB searches for the nearest one at every budget
    slope = (model.weight[y] - model.weight[1 - y]).double()
    room = torch.where(slope > 0, x.flatten(1), 1 - x.flatten(1)).double()
    need = -margin(model(x), y).double()
    least = GEOMETRY[norm].distance(least_movement(norm, need, slope.abs(), room))
    found = torch.full((12,), torch.inf).double()
    for state in walk(model, FAB(), fresh(x, y, 1 - y), threat):
        distance = GEOMETRY[norm].distance(state.point.double() - x.double())
        wrong = margin(model(state.point), y) > 0
        found = torch.where(wrong, torch.minimum(found, distance), found)
    assert bool((found >= least * (1 - 1e-5)).all())
    assert bool((found <= least * 1.05).all())


def test_a_step_costs_one_query() -> None:
    model, x = linear_model(3), images(4, 2)
    y = model(x).argmax(1)
    assert len(walk(model, FAB(), fresh(x, y, 1 - y), Threat.parse("linf:0.1"))) == 101

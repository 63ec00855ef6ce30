"""Projections are exact, lie in ball and box, and are idempotent."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.compute.random_streams import keys, uniform
from bench.evaluation.judge import allowed, distances
from bench.threats import NORMS, Norm, Threat
from bench.threats.geometry import GEOMETRY, l1_signs, lift

norms = st.sampled_from(NORMS)
seeds = st.integers(0, 10_000)
radii = st.floats(0.01, 20)


def problem(seed: int, scale: float = 1.0, size: int = 48) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(6, size, generator=generator) * 1.6 - 0.3).clamp(0, 1)
    return x, scale * torch.randn(6, size, generator=generator) ** 3


def nearest(norm: Norm, x: Tensor, delta: Tensor, eps: float) -> Tensor:
    """The projection by 200 bisections in float64."""
    x, delta = x.double(), delta.double()
    room = torch.where(delta > 0, 1 - x, x)
    if norm == "linf":
        return delta.sign() * torch.minimum(delta.abs().clamp(max=eps), room)

    def at(value: Tensor) -> Tensor:
        if norm == "l1":
            return torch.minimum((delta.abs() - value).clamp(min=0), room)
        return torch.minimum(delta.abs() / (1 + value), room)

    distance = GEOMETRY[norm].distance
    low = torch.zeros(len(x), 1).double()
    high = torch.full_like(low, 1e6)
    for _ in range(200):
        middle = (low + high) / 2
        inside = lift(distance(at(middle)), x) <= eps
        low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
    return delta.sign() * at(high)


@given(norms, seeds, radii, st.sampled_from([0.02, 0.3, 3.0]))
@settings(max_examples=150)
def test_projection_is_the_nearest_point_of_ball_and_box(
    norm: Norm, seed: int, eps: float, scale: float
) -> None:
    x, delta = problem(seed, scale)
    projected = GEOMETRY[norm].project(x, delta, eps)
    exact = nearest(norm, x, delta, eps)
    assert float((projected - exact).abs().max()) < 1e-4 * max(1.0, eps)


@given(norms, seeds, radii)
@settings(max_examples=100)
def test_projection_lies_in_ball_and_box_and_is_idempotent(
    norm: Norm, seed: int, eps: float
) -> None:
    x, delta = problem(seed)
    geometry = GEOMETRY[norm]
    once = geometry.project(x, delta, eps)
    assert float(geometry.distance(once.double()).max()) <= eps * (1 + 1e-6)
    assert bool(((x + once >= 0) & (x + once <= 1)).all())
    assert torch.allclose(geometry.project(x, once, eps), once, atol=1e-6 * max(1.0, eps))


@given(norms, seeds, radii)
@settings(max_examples=50)
def test_a_radius_per_example_is_the_same_as_one_radius(norm: Norm, seed: int, eps: float) -> None:
    x, delta = problem(seed)
    project = GEOMETRY[norm].project
    assert torch.equal(project(x, delta, torch.full((6,), eps)), project(x, delta, eps))


@given(norms, seeds, radii)
@settings(max_examples=50)
def test_a_row_is_the_same_alone_and_in_any_batch(norm: Norm, seed: int, eps: float) -> None:
    x, delta = problem(seed)
    geometry = GEOMETRY[norm]
    row = seed % 6
    own = slice(row, row + 1)
    assert torch.equal(
        geometry.project(x[own], delta[own], eps)[0], geometry.project(x, delta, eps)[row]
    )
    assert torch.equal(geometry.steepest(delta[own], x[own])[0], geometry.steepest(delta, x)[row])


def test_the_l1_step_takes_each_examples_share_of_entries() -> None:
    gradient = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    sparsity = torch.tensor([0.002, 0.02, 0.2, 1.0])
    step = l1_signs(gradient, torch.full_like(gradient, 0.5), sparsity)
    for row, share in zip(range(4), sparsity, strict=True):
        taken = gradient[row].abs()[step[row] != 0]
        assert len(taken) == min(round(1050 * float(share)), 1000)
        assert torch.equal(taken.sort().values, gradient[row].abs().sort().values[-len(taken) :])


def test_entries_that_tie_are_taken_together() -> None:
    gradient = torch.tensor([[3.0] * 3 + [2.0] * 50 + [1.0] * 47]).repeat(3, 1)
    step = l1_signs(gradient, torch.full_like(gradient, 0.5), torch.tensor([0.01, 0.1, 0.5]))
    assert (step != 0).sum(1).tolist() == [3, 53, 53]


@pytest.mark.parametrize("norm", NORMS)
def test_steepest_direction_has_unit_norm_and_ascends(norm: Norm) -> None:
    x, gradient = problem(3)
    geometry = GEOMETRY[norm]
    step = geometry.steepest(gradient, torch.full_like(x, 0.5))
    assert torch.allclose(geometry.distance(step), torch.ones(6), atol=1e-5)
    assert bool(((step * gradient).sum(1) > 0).all())


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("scale", [1e-35, 1e-28, 1e-20, 1e25])
def test_gradients_of_every_size_give_the_same_step(norm: Norm, scale: float) -> None:
    gradient, point = torch.randn(4, 1, 6, 6), torch.full((4, 1, 6, 6), 0.5)
    steepest = GEOMETRY[norm].steepest
    expected = steepest(gradient, point)
    assert torch.allclose(steepest(scale * gradient, point), expected, rtol=1e-3, atol=1e-6)
    mixed = torch.cat([gradient, scale * gradient])
    assert torch.equal(steepest(mixed, point.repeat(2, 1, 1, 1))[:4], expected)


def test_the_l1_step_skips_pixels_on_the_bound_of_the_box() -> None:
    gradient = torch.tensor([[3.0, -2.0, 1.0]])
    point = torch.tensor([[1.0, 0.0, 0.5]])
    assert GEOMETRY["l1"].steepest(gradient, point).tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("norm", NORMS)
def test_a_random_start_lies_in_the_ball_and_is_keyed_by_its_example(norm: Norm) -> None:
    geometry = GEOMETRY[norm]
    key = keys(0, torch.arange(5), "start")
    start = geometry.start(uniform(key, 3, 4, 4), 0.7)
    alone = geometry.start(uniform(key[3:4], 3, 4, 4), 0.7)
    assert float(geometry.distance(start).max()) <= 0.7 * (1 + 1e-5)
    assert torch.equal(start[3:4], alone)
    assert not torch.equal(start[0], start[1])


@given(norms, seeds, st.floats(0.05, 10))
@settings(max_examples=60)
def test_no_point_of_the_threat_gains_more_than_the_gap(norm: Norm, seed: int, eps: float) -> None:
    x, gradient = problem(seed)
    geometry = GEOMETRY[norm]
    delta = geometry.project(x, problem(seed + 1)[1], eps)
    gap = geometry.gap(x, delta, gradient, eps)
    for other in range(5):
        point = geometry.project(x, 10 * gradient + problem(seed + other)[1], eps)
        assert bool(((gradient * (point - delta)).sum(1) <= gap * (1 + 1e-4) + 1e-4).all())


@pytest.mark.parametrize("eps", ["0.01", "0.1", "0.5", "2"])
def test_ascent_in_a_small_l1_ball_stays_in_it_after_rounding_to_float32(eps: str) -> None:
    threat, geometry = Threat.parse(f"l1:{eps}"), GEOMETRY["l1"]
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (6, 3, 32, 32), generator=generator).float() / 255
    slope = torch.randn(1, 3, 32, 32, generator=generator).expand(x.shape).contiguous()
    u = torch.rand(x.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    point = x + geometry.project(x, geometry.start(u, threat.eps), threat.eps)
    for _ in range(6):
        step = threat.eps / 4 * geometry.steepest(slope, point)
        point = x + geometry.project(x, point - x + step, threat.eps)
        assert bool((distances(x, point, threat) <= allowed(threat)).all())

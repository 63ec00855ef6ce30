"""The worst case of a student is exact: against closed forms, grids and certificates."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.teaching.exact import worst_piecewise, worst_quadratic
from benchmarks.teaching.exact_students import worst
from benchmarks.teaching.shapes import scores
from benchmarks.teaching.students import Networks, Quadratics
from benchmarks.teaching.teachers import Discs, Sphere, Support, radii, sample

S, N, D = 3, 40, 7


def drawn(*size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator, dtype=torch.float64)


def places() -> tuple[Tensor, Tensor]:
    return drawn(S, N, D), 0.05 + drawn(S, N, seed=1).abs()


def identity(factor: float) -> tuple[Tensor, Tensor, Tensor]:
    matrix = factor * torch.eye(D, dtype=torch.float64).expand(S, D, D)
    return matrix, torch.zeros(S, D).double(), -factor * torch.ones(S).double()


def test_a_half_space_is_as_far_as_its_margin() -> None:
    x, radius = places()
    slope = drawn(S, D, seed=2)
    found = worst_quadratic(torch.zeros(S, D, D).double(), slope, drawn(S), x, radius)
    value = (x * slope[:, None]).sum(-1) + drawn(S)[:, None]
    for bound in found:
        assert torch.allclose(bound, value - radius * slope.norm(dim=1)[:, None])


@pytest.mark.parametrize("inside", [True, False])
def test_concentric_spheres_are_met_at_the_nearest_or_farthest_norm(inside: bool) -> None:
    x, radius = places()
    norm = x.norm(dim=-1)
    farthest, nearest = norm + radius, (norm - radius).clamp_min(0)
    expected = 1 - farthest.square() if inside else nearest.square() - 1
    for bound in worst_quadratic(*identity(-1.0 if inside else 1.0), x, radius):
        assert torch.allclose(bound, expected)


def test_the_centre_of_a_sphere_is_the_hard_case() -> None:
    _, radius = places()
    for bound in worst_quadratic(*identity(-1.0), torch.zeros(S, N, D).double(), radius):
        assert torch.allclose(bound, 1 - radius.square())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(1, 20))
def test_the_bounds_of_a_random_quadratic_meet_below_all_samples(seed: int, width: int) -> None:
    students = Quadratics([seed, seed + 1, seed + 2], D, width).double()
    x, radius = places()
    with torch.no_grad():
        lower, upper = worst_quadratic(*students.form(), x, radius)
        assert bool((lower <= upper + 1e-9).all())
        assert torch.allclose(lower, upper, atol=1e-7)
        for i in range(50):
            step = drawn(S, N, D, seed=seed + i)
            moved = x + step * (radius / step.norm(dim=-1))[..., None]
            assert (scores(students(moved)) >= lower - 1e-9).all()


def test_a_unit_in_the_plane_falls_as_far_as_its_line_allows() -> None:
    weight = torch.tensor([[3.0, 4.0]]).double()
    x, radius = drawn(N, 2), drawn(N, seed=1).abs()
    out, zero = torch.ones(1).double(), torch.zeros(1).double()
    found = worst_piecewise(weight, zero, out, zero[0], x, radius)
    assert torch.allclose(found, torch.relu(x @ weight[0] - 5 * radius))
    found = worst_piecewise(weight, zero, -out, zero[0], x, radius)
    assert torch.allclose(found, -torch.relu(x @ weight[0] + 5 * radius))


def test_a_pyramid_has_its_least_value_at_its_top_inside_the_disc() -> None:
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).double()
    x = torch.tensor([[0.1, -0.2], [2.0, 0.0]]).double()
    found = worst_piecewise(
        weight, torch.zeros(4).double(), torch.ones(4).double(), torch.tensor(-1.0), x,
        torch.tensor([0.5, 0.5]).double(),
    )  # fmt: skip
    assert torch.allclose(found, torch.tensor([-1.0, 0.5]).double())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(1, 24))
def test_no_point_of_a_fine_grid_is_worse_and_some_is_nearly_as_bad(seed: int, width: int) -> None:
    students = Networks([seed], (2, width, 2)).double()
    x, radius = drawn(1, N, 2), torch.full((1, N), 0.3).double()
    angles = torch.linspace(0, 6.29, 400).double()
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    disc = (torch.linspace(0, 1, 60).double()[:, None, None] * circle).reshape(-1, 2)
    with torch.no_grad():
        least, _ = worst(students, x, torch.ones(1, N).double(), radius)
        points = (x[0, :, None] + 0.3 * disc).reshape(1, -1, 2)
        grid = scores(students(points)).reshape(N, -1).amin(1)
    assert (grid >= least[0] - 1e-9).all()
    assert (grid - least[0]).max() < 0.2


@pytest.mark.parametrize("teacher", [Sphere(), Discs()])
def test_a_teacher_answers_the_same_within_the_radius_that_is_asked_for(
    teacher: Sphere | Discs,
) -> None:
    x, y = sample(teacher, [0, 1], 60, Support(2, 2, 0.05), salt=0)
    assert (teacher.distance(x).abs() >= 0.05).all()
    step = drawn(2, 60, 2).float()
    step = step / step.norm(dim=-1, keepdim=True) * radii(teacher, x, 0.3)[..., None]
    assert (teacher(x + step).argmax(-1) == y).all()

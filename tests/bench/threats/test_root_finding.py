"""Roots are exact on known functions, and each row is independent of the others."""

from collections.abc import Callable

import numpy
import pytest
import torch
from torch import Tensor

from bench.threats.root_finding import FIXED, _search, find_root


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


@pytest.mark.parametrize("power", [0.1, 0.5, 1.0])
def test_the_root_of_a_cube_is_found_from_below(power: float) -> None:
    goal = column(0.001, 0.3, 2.0, 7.9)
    found = find_root(lambda at: at**3, goal, column(*[0] * 4), column(*[2] * 4), power=power)
    assert bool((found**3 <= goal * (1 + 1e-6)).all())
    assert torch.allclose(found, goal ** (1 / 3), rtol=1e-5)


def test_the_outer_end_is_the_result_if_it_satisfies_the_goal() -> None:
    found = find_root(lambda at: at, column(3, 1), column(0, 0), column(2, 2))
    assert found[0] == 2
    assert torch.isclose(found[1], torch.tensor(1.0), rtol=1e-5)


def test_the_function_may_be_decreasing() -> None:
    found = find_root(lambda at: 5 - at, column(1.0), column(5), column(0))
    assert torch.allclose(found, column(4.0))


def test_the_result_is_on_the_inner_side_of_a_jump() -> None:
    found = find_root(lambda at: 10 * (at > 0.3).float(), column(4.0), column(0), column(1))
    assert 0.29 < float(found) <= 0.3001


def staircase(rows: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda at: (rows <= at).float().sum(1, keepdim=True)


def test_rows_do_not_depend_on_each_other() -> None:
    rows = torch.rand(40, 200, generator=torch.Generator().manual_seed(0)) ** 3
    goal = torch.linspace(1, 150, 40)[:, None]
    ends = torch.full_like(goal, -1e-9), torch.ones_like(goal)
    together = find_root(staircase(rows), goal, *ends)
    alone = [
        find_root(staircase(row), *parts)
        for row, *parts in zip(*(part.split(1) for part in (rows, goal, *ends)), strict=True)
    ]
    assert torch.equal(together, torch.cat(alone))


def test_the_fixed_iterations_of_a_gpu_spend_the_budget_of_a_few_large_entries() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(400, 3072, generator=generator) * 1e-3
    rows[:, :3] = torch.rand(400, 3, generator=generator) * 0.2
    goal = torch.full((400, 1), 0.3)
    ends = rows.amax(1, keepdim=True), torch.zeros_like(goal)

    def spent(threshold: Tensor) -> Tensor:
        return (rows - threshold).clamp_min(0).sum(1, keepdim=True)

    found = _search(lambda at: spent(at) ** 0.5, goal**0.5, *ends, 5e-6, FIXED, torch)
    assert (spent(found) >= goal * (1 - 2e-5)).all()
    assert (spent(found) <= goal * (1 + 1e-6)).all()


def test_numpy_and_torch_give_the_same_result() -> None:
    goal = torch.linspace(0.1, 7, 30)[:, None]
    ends = torch.zeros_like(goal), torch.full_like(goal, 2)
    of_torch = _search(lambda at: at**3, goal, *ends, 1e-5, FIXED, torch)
    of_numpy = _search(
        lambda at: at**3,
        goal.numpy(),
        *(end.numpy() for end in ends),
        1e-5,
        60,
        numpy,
    )
    assert numpy.allclose(of_torch.numpy(), of_numpy, rtol=1e-5)

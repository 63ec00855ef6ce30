"""Square attack finds the worst case of linear models, and changes squares as in its paper."""

import pytest
import torch

from bench.attacks import _patterns
from bench.attacks.square import Square
from bench.losses import margin
from bench.threats import NORMS, Norm, Threat
from bench.threats.geometry import GEOMETRY
from tests.toy import exact_worst_case, images, linear_model
from tests.walk import fresh, least_margins, walk

EPS = {"linf": "0.05", "l2": "0.3", "l1": "0.8"}


def test_in_linf_the_worst_case_of_a_linear_model_is_found() -> None:
    model, x = linear_model(1), images(2, 10)
    y, threat = model(x).argmax(1), Threat.parse("linf:0.05")
    path = walk(model, Square(queries=1000), fresh(x, y), threat)
    worst = exact_worst_case(model, x, y, threat)
    torch.testing.assert_close(
        least_margins(model, path, threat).double(), worst, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_third_of_the_way_to_the_worst_case_is_found_in_l2_and_l1(norm: Norm) -> None:
    model, x = linear_model(1, (1, 12, 12)), images(2, 10, (1, 12, 12))
    y, threat = model(x).argmax(1), Threat.parse(f"{norm}:{EPS[norm]}")
    path = walk(model, Square(queries=200), fresh(x, y), threat)
    clean, worst = -margin(model(x), y), exact_worst_case(model, x, y, threat)
    way = (clean - least_margins(model, path, threat)) / (clean - worst)
    assert float(way.median()) > 0.35


@pytest.mark.parametrize("norm", NORMS)
def test_the_best_point_never_gets_worse(norm: Norm) -> None:
    model, x = linear_model(1), images(2, 8)
    y, threat = model(x).argmax(1), Threat.parse(f"{norm}:{EPS[norm]}")
    path = walk(model, Square(queries=60), fresh(x, y), threat)
    losses = torch.stack([margin(model(state.memory["best"]), y) for state in path[1:]])
    assert bool((losses.diff(dim=0) >= 0).all())
    assert bool((losses[-1] > losses[0]).all())


def test_in_linf_a_query_changes_one_square_to_the_edge_of_the_ball() -> None:
    x = torch.full((4, 3, 16, 16), 0.5)
    threat = Threat.parse("linf:0.1")
    attack = Square(queries=12)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2))
    path = walk(model, attack, fresh(x, torch.zeros(4).long()), threat)
    first = path[0].point - x
    assert torch.equal(first[:, :, :1].expand_as(first), first)  # stripes from top to bottom
    for state in path:
        torch.testing.assert_close((state.point - x).abs(), torch.full_like(x, 0.1))
    for state in path[1:]:
        changed = (state.point != state.memory["best"]).any(1)
        rows, columns = changed.any(2).sum(1), changed.any(1).sum(1)
        assert int(torch.maximum(rows, columns).max()) <= _patterns.side(0.8, 16, 16, "linf")


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_the_whole_budget_is_spent_inside_the_box(norm: Norm) -> None:
    x = torch.full((4, 3, 16, 16), 0.5)
    threat = Threat.parse(f"{norm}:{EPS[norm]}")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2))
    for state in walk(model, Square(queries=30), fresh(x, torch.zeros(4).long()), threat):
        spent = GEOMETRY[norm].distance(state.point.double() - x.double())
        torch.testing.assert_close(spent, torch.full((4,), threat.eps).double(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("side", [1, 2, 3, 7, 28])
def test_a_pattern_is_positive_above_and_negative_below_at_unit_norm(norm: Norm, side: int) -> None:
    pattern = _patterns.balanced(norm, side)
    half = side // 2
    assert float(GEOMETRY[norm].distance(pattern[None])[0]) == pytest.approx(1, abs=1e-5)
    assert bool((pattern[:half] > 0).all())
    assert bool((pattern[half:] < 0).all())
    assert float(pattern[half:].abs().max()) == float(
        pattern[half + (side - half) // 2, side // 2].abs()
    )


def test_a_pattern_is_placed_in_its_window() -> None:
    like = torch.zeros(3, 1, 7, 9)
    patterns = _patterns.table("l2", (3, 5), like.device)
    top, left = torch.tensor([0, 4, 2]), torch.tensor([6, 0, 3])
    placed = _patterns.placed(patterns, torch.tensor([0, 1, 2]), top, left, like)
    window = _patterns.window(top, left, torch.tensor([3, 3, 5]), like)
    assert torch.equal(placed != 0, window > 0)
    assert torch.equal(placed[1, 0, 4:7, :3], _patterns.balanced("l2", 3).T)
    assert torch.equal(placed[2, 0, 2:, 3:8], _patterns.balanced("l2", 5))


@pytest.mark.parametrize(("norm", "sides"), [("linf", (29, 20, 1)), ("l2", (29, 21, 3))])
def test_squares_shrink_with_the_share_that_they_cover(norm: Norm, sides: tuple[int, ...]) -> None:
    shares = (0.8, 0.4, 0.8 / 512)
    assert tuple(_patterns.side(share, 32, 32, norm) for share in shares) == sides

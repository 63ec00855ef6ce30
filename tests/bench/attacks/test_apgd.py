"""Auto-PGD reaches the exact worst case of linear models, and adapts as in its papers."""

import pytest
import torch

from bench.attacks.apgd import APGD
from bench.attacks.apgd_l1 import SparseAPGD
from bench.attacks.base import Attack
from bench.attacks.objectives import Objective, objective_for, value
from bench.errors import CrossfireError
from bench.threats import NORMS, Norm, Threat
from tests.toy import exact_worst_case, images, linear_model
from tests.walk import fresh, inside, least_margins, target_classes, walk

EPS = {"linf": "0.05", "l2": "0.3", "l1": "0.8"}


def apgd(norm: Norm, objective: Objective, steps: int = 100) -> Attack:
    return SparseAPGD(objective, steps) if norm == "l1" else APGD(objective, steps)


@pytest.mark.parametrize("objective", ["ce", "margin"])
@pytest.mark.parametrize("norm", NORMS)
def test_two_classes_reach_their_exact_worst_case(norm: Norm, objective: Objective) -> None:
    model, x = linear_model(1), images(2, 40)
    y, threat = model(x).argmax(1), Threat.parse(f"{norm}:{EPS[norm]}")
    path = walk(model, apgd(norm, objective), fresh(x, y), threat)
    worst = exact_worst_case(model, x, y, threat)
    assert 0 < int((worst > 0).sum()) < 40
    torch.testing.assert_close(
        least_margins(model, path, threat).double(), worst, atol=2e-3, rtol=0
    )


@pytest.mark.parametrize(
    ("norm", "classes"), [("linf", 3), ("linf", 5), ("l2", 4), ("l1", 3), ("l1", 4)]
)
def test_all_target_classes_together_break_every_example_that_can_be_broken(
    norm: Norm, classes: int
) -> None:
    model, x = linear_model(1, classes=classes), images(2, 25)
    y, threat = model(x).argmax(1), Threat.parse(f"{norm}:{EPS[norm]}")
    attack = apgd(norm, objective_for(classes, targeted=True), steps=50)
    margins = [
        least_margins(model, walk(model, attack, fresh(x, y, target), threat), threat)
        for target in target_classes(model, x, y).T
    ]
    worst = exact_worst_case(model, x, y, threat)
    decided = worst.abs() > 3e-3
    assert 0 < int((worst > 0).sum()) < 25
    assert int(decided.sum()) >= 22
    assert torch.equal((torch.stack(margins).amin(0) > 0)[decided], (worst > 0)[decided])


def test_the_step_size_is_halved_at_each_checkpoint_if_the_loss_is_constant() -> None:
    x = images(1, 3)
    path = walk(lambda x: x.flatten(1)[:, :2] * 0, APGD("ce"), fresh(x, x[:, 0, 0, 0].long()), LINF)
    sizes = torch.stack([state.memory["size"] for state in path])[:, 0]
    halvings = (sizes[1:] < sizes[:-1]).nonzero().flatten()
    assert halvings.tolist() == [22, 41, 57, 70, 80, 87, 93, 99]  # Croce & Hein 2020, section 3
    assert sizes[0] == pytest.approx(2 * LINF.eps)
    assert sizes[-1] == pytest.approx(2 * LINF.eps / 2**8)


def test_the_step_size_is_kept_while_the_objective_rises() -> None:
    x = torch.full((2, 1, 4, 4), 0.5)
    seen = iter(range(1000))
    path = walk(
        lambda x: torch.stack([x.sum((1, 2, 3)) * 0, x.sum((1, 2, 3)) * 0 + next(seen)], 1),
        APGD("margin"),
        fresh(x, torch.zeros(2).long()),
        LINF,
    )
    assert torch.equal(path[-1].memory["size"], torch.full((2,), 2 * LINF.eps))


def test_a_slow_ascent_restarts_from_its_best_point() -> None:
    x = torch.full((1, 1, 2, 2), 0.5)
    falls = iter([5.0, *(-float(i) for i in range(200))])
    path = walk(
        lambda x: torch.stack([x.sum((1, 2, 3)) * 0, x.sum((1, 2, 3)) + next(falls)], 1),
        APGD("margin"),
        fresh(x, torch.zeros(1).long()),
        LINF,
    )
    assert torch.equal(path[23].memory["previous"], path[23].memory["best"])
    assert torch.equal(path[23].memory["best"], path[0].point)


def test_a_run_costs_a_hundred_queries_and_one_at_the_last_point() -> None:
    model, x = linear_model(0), images(0, 2)
    y = model(x).argmax(1)
    assert len(walk(model, APGD("ce"), fresh(x, y), LINF)) == 101
    assert len(walk(model, SparseAPGD("ce"), fresh(x, y), Threat.parse("l1:1"))) == 103


def test_the_radius_in_l1_shrinks_in_phases_from_three_epsilon_to_one() -> None:
    model, x = linear_model(0, (1, 10, 10)), images(0, 5, (1, 10, 10))
    y, threat = model(x).argmax(1), Threat.parse("l1:1")
    path = walk(model, SparseAPGD("ce"), fresh(x, y), threat)
    for number, state in enumerate(path):
        radius = 3 if number < 31 else 2 if number < 62 else 1
        assert bool(inside(state, Threat.parse(f"l1:{radius}")).all())
    assert bool((path[5].point - x).abs().flatten(1).sum(1).max() > 2)
    assert not SparseAPGD().bounded
    assert SparseAPGD(radii=(1.0,), shares=(1.0,)).bounded


def test_l1_perturbations_are_sparse() -> None:
    model, x = linear_model(0, (3, 16, 16)), images(0, 5, (3, 16, 16))
    y, threat = model(x).argmax(1), Threat.parse("l1:3")
    last = walk(model, SparseAPGD("ce"), fresh(x, y), threat)[-1]
    assert int((last.point != x).flatten(1).sum(1).max()) < 0.1 * x[0].numel()


@pytest.mark.parametrize(
    ("classes", "targeted", "objective"),
    [
        (2, False, "margin"),
        (3, False, "dlr"),
        (3, True, "targeted-margin"),
        (4, True, "targeted-dlr"),
        (10, True, "targeted-dlr"),
    ],
)
def test_the_objective_is_one_that_is_defined_for_the_number_of_classes(
    classes: int, targeted: bool, objective: Objective
) -> None:
    assert objective_for(classes, targeted=targeted) == objective


@pytest.mark.parametrize(("objective", "classes"), [("dlr", 3), ("targeted-dlr", 4)])
def test_a_dlr_loss_says_how_many_classes_it_needs(objective: Objective, classes: int) -> None:
    slots = fresh(images(0, 2), torch.zeros(2).long())
    with pytest.raises(CrossfireError, match=f"needs {classes} classes, and there are"):
        value(objective, torch.zeros(2, classes - 1), slots)


LINF = Threat.parse("linf:0.05")

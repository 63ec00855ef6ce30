"""Properties of every attack under every norm."""

from typing import Any

import pytest
import torch

from bench.attacks.apgd import APGD
from bench.attacks.apgd_l1 import SparseAPGD
from bench.attacks.base import Attack, Response, Slots, query
from bench.attacks.fab import FAB
from bench.attacks.margin import MarginPGD
from bench.attacks.pgd import PGD, pgd
from bench.attacks.square import Square
from bench.threats import Threat
from tests.toy import images, linear_model
from tests.walk import fresh, inside, target_classes, walk

SHAPE = (2, 8, 8)
ATTACKS: list[tuple[Attack, str]] = [
    *[(APGD("dlr", steps=20), n) for n in ("linf", "l2")],
    (SparseAPGD("targeted-dlr", steps=20), "l1"),
    *[(FAB(steps=10), n) for n in ("linf", "l2", "l1")],
    *[(Square(queries=20), n) for n in ("linf", "l2", "l1")],
    *[(PGD(steps=10), n) for n in ("linf", "l2", "l1")],
    *[(MarginPGD(steps=10, noise=1.0), n) for n in ("linf", "l2", "l1")],
    *[(MarginPGD(steps=10, noise=1.0, wide=2.0), n) for n in ("linf", "l2", "l1")],
]
EPS = {"linf": "0.06", "l2": "0.5", "l1": "3"}
every = pytest.mark.parametrize(
    ("attack", "norm"),
    ATTACKS,
    ids=[
        f"{number}-{type(attack).__name__}-{norm}" for number, (attack, norm) in enumerate(ATTACKS)
    ],
)


def problem(norm: str, n: int = 6) -> tuple[torch.nn.Module, Slots, Threat]:
    model, x = linear_model(4, SHAPE, classes=5), images(5, n, SHAPE)
    y = model(x).argmax(1)
    return (
        model,
        fresh(x, y, target_classes(model, x, y)[:, 0]),
        Threat.parse(f"{norm}:{EPS[norm]}"),
    )


@every
def test_points_lie_in_the_box_and_those_of_bounded_attacks_in_the_ball(
    attack: Attack, norm: str
) -> None:
    model, slots, threat = problem(norm)
    for state in walk(model, attack, slots, threat):
        assert bool(((state.point >= 0) & (state.point <= 1)).all())
        if attack.bounded:
            assert bool(inside(state, threat).all())


@every
def test_a_slot_is_the_same_alone_and_in_any_batch(attack: Attack, norm: str) -> None:
    model, slots, threat = problem(norm)
    together = walk(model, attack, slots, threat)
    alone = walk(model, attack, slots.rows(slice(3, 4)), threat)
    for one, many in zip(alone, together, strict=False):
        for name, value in one.tensors().items():
            assert torch.equal(value[0], many.tensors()[name][3]), name


@every
def test_slots_at_different_steps_share_a_batch(attack: Attack, norm: str) -> None:
    model, slots, threat = problem(norm)
    early, late = slots.rows(slice(0, 3)), slots.rows(slice(3, 6))
    expected = walk(model, attack, late, threat)[5]
    state = walk(model, attack, early, threat)[7].join(attack.start(late, threat))
    for _ in range(5):
        state = attack.step(state, query(model, attack, state), threat)
    assert torch.equal(state.point[3:], expected.point)


@every
def test_state_keeps_its_shapes_and_types(attack: Attack, norm: str) -> None:
    model, slots, threat = problem(norm)
    form = [
        {name: (value.shape, value.dtype) for name, value in state.tensors().items()}
        for state in walk(model, attack, slots, threat)
    ]
    assert all(later == form[0] for later in form)


@every
def test_non_finite_responses_leave_points_finite_and_in_the_box(attack: Attack, norm: str) -> None:
    model, slots, threat = problem(norm)
    state = attack.start(slots, threat)
    for _ in range(3):
        response = query(model, attack, state)
        nothing = torch.full_like(response.loss, torch.nan)
        gradient = None if response.gradient is None else torch.zeros_like(state.point)
        state = attack.step(state, Response(response.logits * torch.nan, nothing, gradient), threat)
        assert bool(state.point.isfinite().all())
        assert bool(((state.point >= 0) & (state.point <= 1)).all())


def test_a_gradient_that_is_nan_counts_as_zero() -> None:
    _, slots, _ = problem("linf")
    response = query(lambda x: (x * 0).sqrt().flatten(1)[:, :5], PGD(), slots)
    assert torch.equal(response.ascent, torch.zeros_like(slots.x))


def test_an_infinite_gradient_counts_as_a_large_one() -> None:
    x, y = torch.tensor([[[[0.0, 0.5]]]]), torch.ones(1, dtype=torch.long)
    options: dict[str, Any] = {"steps": 1, "random_start": False}
    moved = pgd(lambda x: x.sqrt().flatten(1), x, y, Threat.parse("l2:0.1"), **options)
    assert moved[0, 0, 0, 0] > 0.02


def test_gradients_are_contiguous() -> None:
    _, slots, _ = problem("linf")
    convolution = torch.nn.Conv2d(2, 5, 3).to(memory_format=torch.channels_last)
    response = query(lambda x: convolution(x).mean((2, 3)), PGD(), slots)
    assert response.ascent.is_contiguous()

"""What holds for every attack and every norm."""

import pytest
import torch

from bench.attacks.apgd import APGD
from bench.attacks.apgd_l1 import SparseAPGD
from bench.attacks.base import Answer, Attack, Slots, ask
from bench.attacks.fab import FAB
from bench.attacks.margin import MarginPGD
from bench.attacks.pgd import PGD
from bench.attacks.square import Square
from bench.threats import Threat
from tests.toy import images, linear_model
from tests.walk import fresh, inside, rivals, walk

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
    return model, fresh(x, y, rivals(model, x, y)[:, 0]), Threat.parse(f"{norm}:{EPS[norm]}")


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
        state = attack.step(state, ask(model, attack, state), threat)
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
def test_answers_that_are_no_numbers_leave_points_in_place(attack: Attack, norm: str) -> None:
    model, slots, threat = problem(norm)
    state = attack.start(slots, threat)
    for _ in range(3):
        answer = ask(model, attack, state)
        nothing = torch.full_like(answer.loss, torch.nan)
        gradient = None if answer.gradient is None else torch.zeros_like(state.point)
        state = attack.step(state, Answer(answer.logits * torch.nan, nothing, gradient), threat)
        assert bool(state.point.isfinite().all())
        assert bool(((state.point >= 0) & (state.point <= 1)).all())


def test_a_gradient_that_is_no_number_counts_as_zero() -> None:
    _, slots, _ = problem("linf")
    answer = ask(lambda x: (x * 0).sqrt().flatten(1)[:, :5], PGD(), slots)
    assert torch.equal(answer.ascent, torch.zeros_like(slots.x))


def test_gradients_have_the_layout_of_the_points() -> None:
    _, slots, _ = problem("linf")
    convolution = torch.nn.Conv2d(2, 5, 3).to(memory_format=torch.channels_last)
    answer = ask(lambda x: convolution(x).mean((2, 3)), PGD(), slots)
    assert answer.ascent.is_contiguous()

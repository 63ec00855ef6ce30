from itertools import pairwise
from pathlib import Path

import pytest

from bench.training.schedules import Schedule, factor
from defenses.undefended import Undefended
from tests.small import small_job


def test_cyclic_rises_to_one_at_two_fifths_and_falls_to_zero() -> None:
    assert factor("cyclic", 0, 20, ()) == 0
    assert factor("cyclic", 4, 20, ()) == pytest.approx(0.5)
    assert factor("cyclic", 8, 20, ()) == pytest.approx(1)
    assert factor("cyclic", 20, 20, ()) == 0


def test_triangle_rises_for_half_of_the_run() -> None:
    values = [factor("triangle", epoch, 20, ()) for epoch in (0, 5, 10, 15, 20)]
    assert values == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_two_slopes_fall_fast_and_then_slowly() -> None:
    values = [factor("two-slopes", epoch, 50, ()) for epoch in (0, 10, 20, 30, 40, 45, 50)]
    assert values == pytest.approx([0, 0.5, 1, 0.525, 0.05, 0.025, 0])


def test_cosine_only_falls() -> None:
    values = [factor("cosine", epoch, 10, ()) for epoch in range(11)]
    assert values[0] == 1
    assert values[5] == pytest.approx(0.5)
    assert values[-1] == pytest.approx(0)
    assert all(later < earlier for earlier, later in pairwise(values))


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 1), (99.9, 1), (100, 0.1), (149, 0.1), (150, 0.01)]
)
def test_steps_divide_by_ten_at_each_drop(epoch: float, expected: float) -> None:
    assert factor("steps", epoch, 200, (100, 150)) == pytest.approx(expected)


def test_constant_is_always_one() -> None:
    assert factor("constant", 7, 10, ()) == 1


@pytest.mark.parametrize(
    ("schedule", "drops", "told"),
    [
        ("cyclic", (1.0,), "undefended: drops are without effect in the schedule cyclic; add"),
        (
            "steps",
            (2.0, 3.0),
            "undefended: drops are without effect: the first is after epoch 2 of",
        ),
        ("steps", (1.0, 3.0), None),
        ("steps", (), None),
    ],
)
def test_drops_that_never_act_are_told_at_the_start(
    schedule: Schedule, drops: tuple[float, ...], told: str | None, tmp_path: Path
) -> None:
    said: list[str] = []
    Undefended().fit(small_job(tmp_path, schedule=schedule, drops=drops, notify=said.append))
    assert [text[: len(told or "")] for text in said] == ([told] if told else [])

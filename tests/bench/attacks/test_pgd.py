"""PGD: a run that stops at a cycle has seen every point, and the best restart is kept."""

import jaxtyping
import pytest
import torch

from bench.attacks.base import Slots, drive
from bench.attacks.pgd import PGD, pgd
from bench.compute import random_streams
from bench.errors import CrossfireError
from bench.threats import Threat
from tests.bench.attacks.test_reference import small_network
from tests.toy import images, linear_model
from tests.walk import fresh, least_margins, walk


def test_a_run_that_stops_at_a_cycle_has_seen_all_points_of_the_whole_run() -> None:
    model, x = small_network().requires_grad_(False), images(3, 20)
    y, threat, early = model(x).argmax(1), Threat.parse("linf:0.05"), 0
    slots = fresh(x, y)
    for i in range(20):
        one = slots.rows(slice(i, i + 1))
        whole, cut = (
            walk(model, PGD(steps=100, until_cycle=until), one, threat) for until in (False, True)
        )
        assert len(whole) == 101
        assert torch.equal(least_margins(model, cut, threat), least_margins(model, whole, threat))
        early += len(cut) < 101
    assert early > 0


def test_a_restart_that_is_misclassified_is_kept_whatever_its_loss() -> None:
    model, x = linear_model(0, classes=8), images(3, 60)
    y, threat = model(x).argmax(1), Threat.parse("linf:0.06")

    starts = torch.arange(len(x))
    alone = torch.zeros(len(x), dtype=torch.bool)
    for restart in range(6):
        key = random_streams.keys(0, starts, "pgd", restart)
        point = drive(model, PGD(steps=2), Slots.fresh(x, y, y, key), threat)
        alone |= model(point).argmax(1) != y
    best = pgd(model, x, y, threat, steps=2, restarts=6)
    assert (model(best).argmax(1) != y).tolist() == alone.tolist()
    assert 0 < alone.sum() < len(x)


def test_images_with_a_graph_give_examples_without_one() -> None:
    model, x = linear_model(0), images(3, 4).requires_grad_()
    y = model(x).argmax(1)
    for threat in ("linf:0.1", "l2:0.5", "l1:3"):
        assert not pgd(model, x, y, Threat.parse(threat), steps=2).requires_grad


@pytest.mark.parametrize(("steps", "restarts"), [(0, 1), (1, 0)])
def test_at_least_one_step_and_one_restart_are_needed(steps: int, restarts: int) -> None:
    model, x = linear_model(0), images(3, 4)
    with pytest.raises(CrossfireError, match="give at least one of each"):
        pgd(model, x, model(x).argmax(1), Threat.parse("l2:1"), steps=steps, restarts=restarts)


def test_images_outside_the_box_or_of_whole_numbers_are_refused() -> None:
    jaxtyping.config.update("jaxtyping_disable", True)
    model, x = linear_model(0), images(3, 4)
    y, threat = model(x).argmax(1), Threat.parse("linf:0.1")
    with pytest.raises(CrossfireError, match=r"from -1 to 1; give raw pixels in \[0, 1\] and norm"):
        pgd(model, 2 * x - 1, y, threat)
    with pytest.raises(CrossfireError, match="divide them by 255"):
        pgd(model, 255 * x, y, threat)
    with pytest.raises(CrossfireError, match=r"images are torch.float16; give float32 in"):
        pgd(model, x.half(), y, threat)
    with pytest.raises(CrossfireError, match=r"threat is 'linf:0.1'; give one such as"):
        pgd(model, x, y, "linf:0.1")  # type: ignore[arg-type]
    with pytest.raises(CrossfireError, match=r"images are torch.uint8; give float32 in \[0, 1\]"):
        pgd(model, (255 * x).byte(), y, threat)
    assert len(pgd(model, x[:0], y[:0], threat)) == 0


def test_labels_of_any_integer_type_and_inference_mode_give_the_same_examples() -> None:
    model, x = linear_model(0), images(3, 4)
    y, threat = model(x).argmax(1), Threat.parse("linf:0.1")
    expected = pgd(model, x, y, threat)
    assert torch.equal(pgd(model, x, y.int(), threat), expected)
    with torch.inference_mode():
        assert torch.equal(pgd(model, x.clone(), y.clone(), threat), expected)
    assert not expected.is_inference()

"""PGD that stops at a cycle has seen every point of the whole run."""

import torch

from bench.attacks.pgd import PGD
from bench.threats import Threat
from tests.bench.attacks.test_reference import small_network
from tests.toy import images
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

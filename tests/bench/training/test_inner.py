"""The inner maximisation agrees with the PGD of the evaluation, and with closed forms."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.attacks.pgd import pgd
from bench.losses import cross_entropy
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from bench.training import (
    adversarial,
    adversarial_each,
    ascend,
    input_gradient,
    random_start,
    small_start,
)
from tests.small import L1, L2, LINF, first_batch, small_job
from tests.toy import images, linear_model

THREATS = pytest.mark.parametrize("threat", [LINF, L2, L1], ids=str)


@THREATS
def test_without_a_random_start_it_is_the_pgd_of_the_evaluation(threat: Threat) -> None:
    model, x, y = linear_model(0, classes=3), images(1, 8), torch.arange(8) % 3
    ours = ascend(lambda point: cross_entropy(model(point), y), x, threat, steps=5)
    theirs = pgd(model, x, y, threat, steps=5, random_start=False)
    assert torch.allclose(ours, theirs, atol=1e-6)


@THREATS
def test_examples_stay_in_ball_and_box_and_raise_the_loss(threat: Threat, tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    x_adv = adversarial(net, batch, threat)
    assert (GEOMETRY[threat.norm].distance(x_adv - batch.x) <= threat.eps * (1 + 1e-5)).all()
    assert 0 <= x_adv.min() <= x_adv.max() <= 1
    with torch.no_grad():
        before, after = (cross_entropy(net(x), batch.y) for x in (batch.x, x_adv))
    assert (after > before).all()


@THREATS
def test_starts_differ_by_example_and_lie_in_the_ball(threat: Threat, tmp_path: Path) -> None:
    batch = first_batch(small_job(tmp_path))
    for start in (random_start(batch, threat), small_start(batch, threat)):
        assert (GEOMETRY[threat.norm].distance(start) <= threat.eps * (1 + 1e-5)).all()
        assert len(start.unique(dim=0)) == len(batch.y)


@pytest.mark.parametrize("start", [random_start, small_start])
def test_networks_with_different_roles_have_different_starts(
    start: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    job = small_job(tmp_path)
    batch, one, other = first_batch(job), job.model(), job.model("peer-2")
    assert torch.equal(start(batch, LINF, one), start(batch, LINF))
    assert torch.equal(start(batch, LINF, other), start(batch, LINF, job.model("peer-2")))
    apart = (start(batch, LINF, one) - start(batch, LINF, other)).abs()
    assert (apart.flatten(1).amax(1) > 0.01 * apart.amax()).all()


def test_a_small_start_is_a_thousandth_of_a_standard_normal(tmp_path: Path) -> None:
    batch = first_batch(small_job(tmp_path))
    inside = (batch.x > 0.01) & (batch.x < 0.99)
    assert float(small_start(batch, LINF)[inside].std()) == pytest.approx(0.001, rel=0.1)


def test_the_objective_may_be_any_function_of_the_image() -> None:
    x = images(0, 3)
    objective = lambda point: (point**2).flatten(1).sum(1)  # noqa: E731
    gradient: Tensor = input_gradient(objective, x)
    assert torch.allclose(gradient, 2 * x)
    assert not gradient.requires_grad


def test_parallel_attacks_are_the_same_as_sequential_ones(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    batch, nets = first_batch(job), [job.model(), job.model("other")]
    attacked = [(net, threat) for net in nets for threat in (LINF, L2, L1)]
    expected = [adversarial(net, batch, threat, steps=3) for net, threat in attacked]
    passes, threads = job.passes.forwards.copy(), torch.get_num_threads()
    torch.set_num_threads(4)
    found = adversarial_each(attacked, batch, steps=3)
    torch.set_num_threads(threads)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))
    assert job.passes.forwards == {role: 2 * count for role, count in passes.items()}
    assert all(net.training and next(net.parameters()).requires_grad for net in nets)

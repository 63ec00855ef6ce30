"""The single-step defenses: their step and its cost."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from bench.models.checkpoint import load
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from bench.training import adversarial, attacking, cross_entropy_of, input_gradient, random_start
from defenses.fgsm_rs import FGSMRS
from defenses.free import Free
from defenses.gradalign import GradAlign, misalignment
from defenses.n_fgsm import NFGSM
from tests.small import L1, L2, LINF, first_batch, small_job
from tests.toy import linear_model


def test_fgsm_rs_is_one_clipped_step_from_a_uniform_start(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    start = random_start(batch, LINF)
    with attacking(net):
        gradient = input_gradient(cross_entropy_of(net, batch.y), batch.x + start)
    delta = (start + 1.25 * LINF.eps * gradient.sign()).clamp(-LINF.eps, LINF.eps)
    expected = (batch.x + delta).clamp(0, 1)
    found = adversarial(net, batch, LINF, steps=1, step_size=FGSMRS().step_size)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("threat", [LINF, L2, L1], ids=str)
def test_n_fgsm_exceeds_the_ball_but_not_the_box(threat: Threat, tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    x_adv = NFGSM().perturb(net, batch, threat)
    size = GEOMETRY[threat.norm].distance(x_adv - batch.x)
    assert threat.eps < size.max() <= 3 * threat.eps * (1 + 1e-5)
    assert 0 <= x_adv.min() <= x_adv.max() <= 1


def test_n_fgsm_without_noise_is_fgsm(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    with attacking(net):
        gradient = input_gradient(cross_entropy_of(net, batch.y), batch.x)
    expected = (batch.x + LINF.eps * gradient.sign()).clamp(0, 1)
    assert torch.equal(NFGSM(noise=0.0).perturb(net, batch, LINF), expected)


def test_free_uses_one_pass_for_weights_and_perturbation(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1)
    Free(replays=3).fit(job)
    assert job.passes.forwards == job.passes.backwards == {"net": 64 * 3}


def test_free_is_its_loop_written_out(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1, examples=32, schedule="constant", lr=0.05)
    net, batch = job.model(), first_batch(job)
    optimizer, delta = job.sgd(net), torch.zeros_like(batch.x)
    for _ in range(2):
        x = (batch.x + delta).clamp(0, 1).requires_grad_()
        optimizer.zero_grad()
        F.cross_entropy(net(x), batch.y).backward()
        assert x.grad is not None
        delta = (delta + LINF.eps * x.grad.sign()).clamp(-LINF.eps, LINF.eps)
        delta = (batch.x + delta).clamp(0, 1) - batch.x
        optimizer.step()
    Free(replays=2).fit(job)
    trained, _ = load(tmp_path)
    for ours, written_out in zip(trained.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, written_out, atol=1e-6)


def test_the_gradients_of_a_linear_two_class_model_are_aligned(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    batch = first_batch(job)
    linear = job.place(linear_model(0, (1, 8, 8)), "net")
    two = type(batch)(**{**batch.__dict__, "y": batch.y % 2})
    assert torch.allclose(misalignment(linear, two, LINF), torch.zeros(32), atol=1e-5)


@pytest.mark.parametrize(("certainty", "directed"), [(25.0, 32), (40.0, 32), (500.0, 0)])
def test_gradients_of_certain_predictions_are_aligned_or_left_out(
    certainty: float, directed: int, tmp_path: Path
) -> None:
    job = small_job(tmp_path)
    batch = first_batch(job)
    linear = linear_model(0, (1, 8, 8))
    linear.bias[0] += certainty
    net, sure = job.place(linear, "net"), type(batch)(**{**batch.__dict__, "y": batch.y * 0})
    apart = misalignment(net, sure, LINF)
    assert torch.allclose(apart, torch.zeros(directed), atol=1e-5)
    loss = GradAlign(weight=1.0).loss(net, sure, sure.x, LINF)
    assert torch.allclose(loss, F.cross_entropy(net(sure.x), sure.y), atol=1e-5)


def test_gradalign_reaches_weights_through_the_gradient_at_the_random_point(
    tmp_path: Path,
) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    apart = misalignment(net, batch, LINF)
    assert ((apart >= 0) & (apart <= 2)).all()
    gradients = torch.autograd.grad(apart.sum(), list(net.parameters()), allow_unused=True)
    assert any(gradient is not None and gradient.any() for gradient in gradients)
    loss = GradAlign(weight=3.0).loss(net, batch, batch.x, LINF)
    assert torch.allclose(loss, F.cross_entropy(net(batch.x), batch.y) + 3 * apart.mean())

"""MART's loss, written out for one example."""

import math
from pathlib import Path

import pytest
import torch

from defenses.mart import MART, mart_loss
from tests.small import first_batch, small_job


def test_boosted_cross_entropy_and_weighted_divergence() -> None:
    p, q = [0.5, 0.3, 0.2], [0.2, 0.7, 0.1]
    clean, adversarial = torch.tensor([p]).log(), torch.tensor([q]).log()
    boosted = -math.log(0.2) - math.log(1.0001 - 0.7)
    divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = mart_loss(clean, adversarial, torch.tensor([0]), beta=5.0)
    assert found.item() == pytest.approx(boosted + 5 * divergence * (1 - 0.5), rel=1e-4)


def test_the_loss_of_a_batch_is_the_mean_of_those_of_its_examples(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model().eval(), first_batch(job)
    x_adv = (batch.x + 0.1).clamp(0, 1)
    each = mart_loss(net(batch.x), net(x_adv), batch.y, beta=2.0)
    assert torch.allclose(MART(beta=2.0).loss(net, batch, x_adv), each.mean())


def test_certain_predictions_stay_finite() -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = mart_loss(logits, logits, torch.tensor([0, 0]), beta=5.0).sum()
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()

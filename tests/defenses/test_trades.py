"""TRADES: the loss of equation 5, with gradients through both predictions."""

import csv
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from bench.errors import CrossfireError
from bench.training import adversarial_kl
from defenses.trades import TRADES
from tests.small import LINF, first_batch, small_job


def test_its_loss_is_cross_entropy_and_six_divergences(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    x_adv = (batch.x + 0.1).clamp(0, 1)
    p, q = net(batch.x), net(x_adv)
    divergence = F.kl_div(q.log_softmax(1), p.softmax(1), reduction="batchmean")
    expected = F.cross_entropy(p, batch.y) + 6 * divergence
    found = TRADES().loss(net, batch, x_adv)
    assert torch.allclose(found, expected)
    ours = torch.autograd.grad(found, list(net.parameters()))
    theirs = torch.autograd.grad(expected, list(net.parameters()))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))


def test_its_examples_raise_the_divergence(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    clean = net(batch.x).detach()

    def divergence(x: torch.Tensor) -> float:
        return F.kl_div(net(x).log_softmax(1), clean.softmax(1), reduction="batchmean").item()

    x_adv = adversarial_kl(net, batch, LINF, clean)
    assert (x_adv - batch.x).abs().max() <= LINF.eps + 1e-6
    signs = (batch.x + LINF.eps * (batch.uniform("a") - 0.5).sign()).clamp(0, 1)
    assert divergence(x_adv) > 2 * divergence(signs) > 0


def test_awp_begins_after_its_warm_up(tmp_path: Path) -> None:
    def losses(name: str, awp: float, warmup: int) -> list[str]:
        TRADES(steps=1, awp=awp, awp_warmup=warmup).fit(small_job(tmp_path / name))
        with (tmp_path / name / "log.csv").open() as file:
            return [row["loss"] for row in csv.DictReader(file)]

    plain, late = losses("plain", 0.0, 0), losses("late", 0.01, 1)
    assert plain[0] == late[0]
    assert plain[1] != late[1]


def test_awp_that_would_never_begin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CrossfireError, match="begin after 2 of 2 epochs; lower --awp-warmup"):
        TRADES(steps=1, awp=0.01, awp_warmup=2).fit(small_job(tmp_path))

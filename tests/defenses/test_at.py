"""Adversarial training is the mean cross-entropy at PGD examples of the network in eval mode."""

from pathlib import Path

import torch
import torch.nn.functional as F

from bench.models.checkpoint import load
from bench.training import adversarial
from defenses.at import AT
from tests.small import LINF, first_batch, sha256, small_job


def test_its_loss_is_the_mean_cross_entropy(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    expected = F.cross_entropy(net(batch.x), batch.y)
    assert torch.isclose(AT().loss(net, batch, batch.x), expected)


def test_a_run_is_pgd_and_sgd_written_out(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1, schedule="constant", lr=0.05, examples=32)
    net, batch = job.model(), first_batch(job)
    optimizer = torch.optim.SGD(net.parameters(), 0.05, 0.9, weight_decay=5e-4)
    x_adv = adversarial(net, batch, LINF, steps=3, step_size=0.3)
    F.cross_entropy(net(x_adv), batch.y).backward()
    optimizer.step()
    AT(steps=3, step_size=0.3).fit(job)
    trained, _ = load(tmp_path)
    for ours, written_out in zip(trained.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, written_out, atol=1e-7)


def test_awp_costs_one_more_pass_and_changes_the_weights(tmp_path: Path) -> None:
    plain, perturbed = (small_job(tmp_path / name, epochs=1) for name in ("plain", "awp"))
    AT(steps=2).fit(plain)
    AT(steps=2, awp=0.01).fit(perturbed)
    assert plain.passes.forwards["net"] == 64 * 3
    assert perturbed.passes.forwards["net"] == 64 * 4
    assert sha256(plain.out) != sha256(perturbed.out)

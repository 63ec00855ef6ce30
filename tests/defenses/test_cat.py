"""CAT's joint loss, term by term."""

from pathlib import Path

import torch
import torch.nn.functional as F

from defenses.cat import CAT
from tests.small import first_batch, small_job


def test_it_is_trades_alp_and_mutual_divergence(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    one, two, batch = job.model(), job.model("peer"), first_batch(job)
    x, y = batch.x, batch.y
    x1, x2 = (x + 0.1).clamp(0, 1), (x - 0.1).clamp(0, 1)

    def kl(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        return F.kl_div(q.log_softmax(1), p.softmax(1), reduction="batchmean")

    trades = F.cross_entropy(one(x), y) + 6 * kl(one(x), one(x1))
    pairing = (F.cross_entropy(two(x2), y) + F.cross_entropy(two(x), y)) / 2
    pairing = pairing + F.mse_loss(two(x2), two(x))
    mutual = kl(two(x1).detach(), one(x1)) + kl(one(x2).detach(), two(x2))
    expected = (trades + pairing) / 20 + mutual * 19 / 20
    found = CAT().loss(one, two, batch, x1, x2)
    assert torch.allclose(found, expected, atol=1e-6)
    for net in (one, two):
        ours = torch.autograd.grad(found, list(net.parameters()), retain_graph=True)
        theirs = torch.autograd.grad(expected, list(net.parameters()), retain_graph=True)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))

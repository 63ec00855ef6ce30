"""RAMP: pairing only where the first attack failed, and projection tensor by tensor."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.errors import CrossfireError
from defenses.ramp import RAMP, project
from tests.small import L1, LINF, first_batch, small_job


def test_its_loss_pairs_examples_that_are_right_under_the_first_threat(tmp_path: Path) -> None:
    batch = first_batch(small_job(tmp_path))
    torch.manual_seed(0)
    at_q = torch.randn(32, 10) + 3 * F.one_hot(batch.y, 10) * (torch.arange(32) % 2)[:, None]
    at_r = torch.randn(32, 10)
    right = at_q.argmax(1) == batch.y
    assert 0 < right.sum() < 32
    losses = [F.cross_entropy(z, batch.y, reduction="none") for z in (at_q, at_r)]
    paired = F.kl_div(at_r[right].log_softmax(1), at_q[right].softmax(1), reduction="batchmean")
    expected = torch.maximum(*losses).mean() + 2.0 * paired
    assert torch.allclose(RAMP().loss(at_q, at_r, batch), expected)


def weights(value: list[float], counter: int = 0) -> nn.Module:
    module = nn.BatchNorm1d(2)
    module.weight.data = torch.tensor(value)
    module.num_batches_tracked.fill_(counter)
    return module


@pytest.mark.parametrize(
    ("natural", "expected"),
    [
        # Along the adversarial change (2, 0), and half of each.
        ([3.0, 0.0], [1 + 0.5 * 2 + 0.5 * 2, 0.0]),
        # Across it, and against it: half of the adversarial change alone.
        ([1.0, 2.0], [1 + 0.5 * 2, 0.0]),
        ([-1.0, 0.0], [1 + 0.5 * 2, 0.0]),
    ],
)
def test_projection_keeps_the_aligned_part_of_the_natural_change(
    natural: list[float], expected: list[float]
) -> None:
    net = weights([3.0, 0.0], counter=7)
    project(net, weights([1.0, 0.0]), weights(natural), beta=0.5)
    assert net.weight.tolist() == pytest.approx(expected)
    assert net.num_batches_tracked == 7


def test_it_trains_two_networks_a_batch(tmp_path: Path) -> None:
    job = small_job(tmp_path, threats=(LINF, L1), epochs=1)
    RAMP(steps=2).fit(job)
    assert job.passes.forwards == {"net": 64 * (2 + 2 + 2), "natural": 64}


def test_a_single_threat_has_no_pair(tmp_path: Path) -> None:
    with pytest.raises(CrossfireError, match="for several threats; choose them with"):
        RAMP().fit(small_job(tmp_path, threats=(LINF,)))

import pytest
import torch
from torch import nn

from bench.training.averaging import Average


def test_it_is_the_exponential_moving_average_with_a_warm_up() -> None:
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    average, expected = Average(net, 0.5), 0.0
    for count, value in enumerate([1.0, 2.0, 3.0, 5.0], start=1):
        nn.init.constant_(net.weight, value)
        average.update(net)
        decay = min(0.5, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * value
    assert float(average.net.weight) == pytest.approx(expected)


def test_batch_norm_statistics_are_averaged_and_its_counter_copied() -> None:
    net = nn.BatchNorm2d(2)
    average = Average(net, 0.9)
    net(torch.ones(4, 2, 3, 3))
    average.update(net)
    assert average.net.num_batches_tracked == 1
    between = average.net.running_mean
    assert ((between > 0) & (between < net.running_mean)).all()


def test_it_resumes_from_its_state() -> None:
    net = nn.Linear(2, 2)
    one, other = Average(net, 0.9), Average(nn.Linear(2, 2), 0.9)
    one.update(net)
    other.load_state_dict(one.state_dict())
    nn.init.ones_(net.weight)
    for average in (one, other):
        average.update(net)
    assert torch.equal(one.net.weight, other.net.weight)

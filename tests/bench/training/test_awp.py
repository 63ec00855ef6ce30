"""Weights are moved up the loss by a share of their norm, layer by layer, and restored."""

import pytest
import torch
from torch import Tensor, nn

from bench.losses import cross_entropy
from bench.training import weights_perturbed


def toy() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 4))
    return net, torch.rand(8, 1, 6, 6), torch.arange(8) % 4


def test_each_layer_moves_by_gamma_times_its_norm_along_the_gradient() -> None:
    net, x, y = toy()
    loss = lambda: cross_entropy(net(x), y).mean()  # noqa: E731
    before = [p.detach().clone() for p in net.parameters()]
    gradients = torch.autograd.grad(loss(), list(net.parameters()))
    value = loss().item()
    with weights_perturbed(net, loss, 0.01):
        assert loss().item() > value
        for p, old, gradient in zip(net.parameters(), before, gradients, strict=True):
            move = p.detach() - old
            if p.dim() == 1:
                assert not move.any()
                continue
            assert float(move.norm()) == pytest.approx(0.01 * float(old.norm()), rel=1e-4)
            cosine = (move * gradient).sum() / (move.norm() * gradient.norm())
            assert float(cosine) == pytest.approx(1, abs=1e-4)
    assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))


def test_frozen_and_unused_weights_stay() -> None:
    net, x, y = toy()
    net[0].weight.requires_grad_(False)
    net.register_parameter("unused", nn.Parameter(torch.ones(2, 2)))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    with weights_perturbed(net, lambda: cross_entropy(net(x), y).mean(), 0.01):
        moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
        assert moved == {"3.weight"}


def test_the_extra_pass_does_not_change_batch_norm_statistics() -> None:
    net, x, y = toy()
    before = [buffer.clone() for buffer in net.buffers()]
    with weights_perturbed(net, lambda: cross_entropy(net(x), y).mean(), 0.01):
        assert all(map(torch.equal, net.buffers(), before))


def test_weights_are_restored_after_an_error() -> None:
    net, x, y = toy()
    before = [p.detach().clone() for p in net.parameters()]
    with (
        pytest.raises(ZeroDivisionError),
        weights_perturbed(net, lambda: cross_entropy(net(x), y).mean(), 0.1),
    ):
        raise ZeroDivisionError
    assert all(map(torch.equal, net.parameters(), before))


def test_without_gamma_the_loss_is_not_computed() -> None:
    def loss() -> Tensor:
        raise AssertionError

    with weights_perturbed(nn.Linear(1, 1), loss, 0.0):
        pass

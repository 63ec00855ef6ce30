"""Compiling changes neither logits nor gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bench.compute.compilation import Compiling
from tests.toy import images


def network() -> nn.Module:
    torch.manual_seed(0)
    body = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    return nn.Sequential(*body).eval()


def gradient(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    point = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(point)[:, 0].sum(), point)
    return found


def test_a_compiled_network_agrees_with_the_original_at_every_batch_size() -> None:
    eager, compiling = network(), Compiling(network(), patience=0.0)
    for n in (5, 1, 8):
        x = images(n, n, (1, 6, 6))
        with torch.no_grad():
            assert torch.allclose(compiling(x), eager(x), atol=1e-5)
        assert torch.allclose(gradient(compiling, x), gradient(eager, x), atol=1e-5)
    assert compiling.forms.keys() == {False, True}


def test_short_work_is_not_compiled() -> None:
    compiling = Compiling(network(), patience=1e9)
    compiling(images(0, 4, (1, 6, 6)))
    assert not compiling.forms
    assert compiling.spent[True] > compiling.spent[False] == 0


def test_a_network_that_cannot_be_compiled_is_used_uncompiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(model: nn.Module) -> Callable[[Tensor], Tensor]:
        def fail(points: Tensor) -> Tensor:
            raise RuntimeError("no compiler")

        return fail

    monkeypatch.setattr(torch, "compile", refuse)
    eager, compiling = network(), Compiling(network(), patience=0.0)
    x = images(0, 4, (1, 6, 6))
    assert torch.equal(compiling(x), eager(x))
    assert compiling.forms == {True: compiling.eager}

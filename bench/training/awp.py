"""Adversarial weight perturbation (Wu et al. 2020, arXiv:2004.05884)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.training.run import Run

TINY = 1e-20


@contextmanager
def weights_perturbed(net: nn.Module, loss: Callable[[], Tensor], gamma: float) -> Iterator[None]:
    """Context in which each weight w of more than one dimension is moved by γ‖w‖ up the loss.

    The direction is the loss's gradient, normalised layer by layer (equation 8); frozen weights,
    and those that the loss does not depend on, stay. Afterwards the weights are restored. With
    γ = 0 the weights stay, and the loss is not computed. The extra pass does not change batch-norm
    statistics.
    """
    if gamma == 0:
        yield
        return
    weights = [p for p in net.parameters() if p.dim() > 1 and p.requires_grad]
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    gradients = torch.autograd.grad(loss(), weights, allow_unused=True)
    with torch.no_grad():
        for buffer, saved in buffers:
            buffer.copy_(saved)
        before = [w.clone() for w in weights]
        for w, g in zip(weights, gradients, strict=True):
            if g is not None:
                w.add_(g, alpha=float(gamma * w.norm() / (g.norm() + TINY)))
    try:
        yield
    finally:
        with torch.no_grad():
            for w, old in zip(weights, before, strict=True):
                w.copy_(old)


def awp_step(run: Run, net: nn.Module, loss: Callable[[], Tensor], gamma: float) -> None:
    """One update by the gradient that `loss` has at the perturbed weights of `net`."""
    with weights_perturbed(net, loss, gamma):
        run.backward(loss())
    run.update()

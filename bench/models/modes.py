"""Contexts after which networks are as before."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn


@contextmanager
def modes_kept(*nets: nn.Module) -> Iterator[None]:
    """Context after which each module of the networks is in train or eval mode as before."""
    modules = [module for net in nets for module in net.modules()]
    modes = [(m, m.training) for m in modules if hasattr(m, "training")]  # not if frozen
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluating(*nets: nn.Module) -> Iterator[None]:
    """Context in which the networks are in eval mode; afterwards the mode is restored."""
    with modes_kept(*nets):
        for net in nets:
            net.eval()
        yield


@contextmanager
def differentiating(net: nn.Module) -> Iterator[None]:
    """Context in which there are gradients, whatever the caller chose; afterwards the network is on
    its device and in its mode again."""
    device = next(chain(net.parameters(), net.buffers()), torch.empty(0)).device
    with torch.inference_mode(mode=False), torch.enable_grad(), modes_kept(net):
        try:
            yield
        finally:
            net.to(device)

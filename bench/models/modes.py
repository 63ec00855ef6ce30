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
def attackable(net: nn.Module) -> Iterator[None]:
    """Context in which a network is attacked as if its caller had not switched gradients off or
    chosen another default data type than float32; afterwards the network is on its device and in
    its mode again."""
    device = next(chain(net.parameters(), net.buffers()), torch.empty(0)).device
    kind = torch.get_default_dtype()
    with torch.inference_mode(mode=False), torch.enable_grad(), modes_kept(net):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(kind)
            net.to(device)

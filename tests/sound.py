"""Six classifiers of digits without gradient masking, each trained in a second or less."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.data import load
from bench.models import build
from bench.threats import Threat

torch.set_num_threads(1)

DATA = load("digits")
LINF, L2 = Threat.parse("linf:0.15"), Threat.parse("l2:0.6")
IMAGES, LABELS = DATA.test.take(32).floats(), DATA.test.take(32).labels

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def plain(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(net(x), y)


def moved(net: nn.Module, x: Tensor, y: Tensor, threat: Threat, steps: int = 2) -> Tensor:
    """PGD. The package's own takes twice as long in tests, where its types are checked."""
    delta = torch.zeros_like(x)
    for _ in range(steps):
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(net(x + delta), y), delta)
        if threat.norm == "linf":
            delta = (delta.detach() + threat.eps * gradient.sign()).clamp(-threat.eps, threat.eps)
        else:
            length = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
            delta = delta.detach() + threat.eps / steps * gradient / length
        delta = (x + delta).clamp(0, 1) - x
    return x + delta


def adversarial(threat: Threat) -> Loss:
    return lambda net, x, y: plain(net, moved(net, x, y, threat), y)


def trades(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    clean, other = net(x), net(moved(net, x, y, LINF))
    divergence = F.kl_div(other.log_softmax(1), clean.softmax(1), reduction="batchmean")
    return F.cross_entropy(clean, y) + 3 * divergence


def single_step(eps: float) -> Loss:
    """The full step of FGSM from the image itself, which overfits catastrophically."""

    def loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        point = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(net(point), y), point)
        return plain(net, (x + eps * gradient.sign()).clamp(0, 1), y)

    return loss


def train(net: nn.Module, loss: Loss, epochs: int = 10, lr: float = 6e-3) -> nn.Module:
    """The network after some epochs of Adam on 640 digits, in eval mode."""
    x, y = DATA.train.take(640).floats(), DATA.train.take(640).labels
    optimiser = torch.optim.Adam(net.parameters(), lr)
    order = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=order).split(64):
            optimiser.zero_grad()
            loss(net, x[rows], y[rows]).backward()
            optimiser.step()
    return net.eval().requires_grad_(False)


def cnn(width: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return build(f"cnn-w{width}", classes=10, channels=1, size=(8, 8))


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10))


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


SOUND: dict[str, tuple[Callable[[], nn.Module], Loss, Threat]] = {
    "undefended": (cnn, plain, LINF),
    "at-linf": (cnn, adversarial(LINF), LINF),
    "at-l2": (cnn, adversarial(L2), L2),
    "trades": (cnn, trades, LINF),
    "mlp": (mlp, adversarial(L2), L2),
    "linear": (linear, plain, LINF),
}
"""Name -> network, loss, and the threat under which it is examined."""

"""A surrogate network trained on the model's predictions, for transfer attacks (Papernot et al.
2017)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.data.splits import floats
from bench.diagnosis.subject import Subject
from bench.losses import cross_entropy, input_gradient
from bench.models import build
from bench.threats.geometry import GEOMETRY

BATCH, WIDTH = 64, 16


def imitate(subject: Subject, images: Tensor) -> nn.Module:
    """A `cnn` trained on uint8 images (n, c, h, w) with the model's predictions as labels, half of
    the images perturbed by one step of ε/2 against the surrogate; in eval mode."""
    x = subject.x
    device, (_, channels, height, width) = x.device, x.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(subject.seed)
        arch = f"cnn-w{WIDTH}"
        net = build(arch, classes=subject.classes, channels=channels, size=(height, width))
    net = net.to(device)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    order = torch.Generator().manual_seed(subject.seed)
    for _ in range(subject.effort.imitation):
        rows = torch.randint(len(images), (BATCH,), generator=order)
        batch = floats(images[rows].to(device))
        predictions = subject.judge.logits(batch).argmax(1)
        moved = torch.cat([batch[::2], _stepped(net, batch[1::2], predictions[1::2], subject)])
        labels = torch.cat([predictions[::2], predictions[1::2]])
        loss = F.cross_entropy(net(moved), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return net.eval().requires_grad_(False)


def _stepped(net: nn.Module, x: Tensor, y: Tensor, subject: Subject) -> Tensor:
    gradient = input_gradient(lambda point: cross_entropy(net(point), y), x)
    return x + GEOMETRY[subject.threat.norm].full_step(x, gradient, subject.threat.eps / 2)

"""The attack that `l2l` learned beside its classifier (Jiang et al. 2021, arXiv:1811.01213).

    bench evaluate runs/at --suite l2l:runs/l2l

One or a few forward passes of the attacker, which sees the image and the model's input gradient.
In training that gradient is divided by the largest entry of the batch, here by that of the example:
an example's verdict never depends on its neighbours. The second of two steps adds to the first as
the box has clipped it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench import losses
from bench.attacks.base import Answer, Slots
from bench.errors import CrossfireError
from bench.models import checkpoint
from bench.models.attackers import build_attacker, perturbation, shrink
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, lift

STRIDE = 0.007 / 0.031
"""Share of the attacker's perturbation that one of many steps takes."""


class Attacker:
    """The network; records name it by the hash of its weights."""

    def __init__(self, net: nn.Module) -> None:
        """Freeze `net` in eval mode."""
        self.net = net.eval().requires_grad_(False)
        self.__name__ = checkpoint.weights_sha256(net)

    def __call__(self, x: Tensor) -> Tensor:
        """Images, with gradients where it was trained on them, to raw perturbations."""
        raw: Tensor = self.net.to(x.device)(x)
        return raw


@dataclass(frozen=True)
class Learned:
    """The iteration: `steps` perturbations, a `stride` of each, within the ball after every one."""

    attacker: Attacker
    steps: int = 1
    stride: float = 1.0
    needs_gradient: bool = True
    bounded: bool = True
    name: str = "l2l"

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """The cross-entropy, whose gradient the attacker sees."""
        return losses.cross_entropy(logits, slots.y)

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """The image itself."""
        return slots.next(slots.x, slots.done)

    def step(self, slots: Slots, answer: Answer, threat: Threat) -> Slots:
        """x + P(what was there, and what the attacker writes at that point)."""
        seen = slots.point
        if self.needs_gradient:
            largest = answer.ascent.abs().flatten(1).amax(1).clamp_min(1e-12)
            seen = torch.cat([seen, answer.ascent / lift(largest, answer.ascent)], 1)
        with torch.no_grad():
            delta = slots.point - slots.x + self.stride * perturbation(self.attacker(seen), threat)
        # The projection moves nothing but what rounding would leave outside the ball.
        project = GEOMETRY[threat.norm].project
        point = slots.x + project(slots.x, shrink(delta, threat), threat.eps)
        return slots.next(point, slots.t >= self.steps)


def load_attacker(path: Path) -> Learned:
    """The attack of a run of `l2l`, or of its folder `attacker`, or of a file there.

    Raises:
        CrossfireError: there is no attacker.
    """
    for folder in (path / "attacker", path):
        if (folder / "best.safetensors").exists():
            path = folder / "best.safetensors"
            break
    tensors, text = checkpoint.read(path)
    found: dict[str, Any] = json.loads(text or "{}")
    parts = str(found.get("arch", "")).removeprefix("l2l:").split("/")
    if len(parts) != 3:
        raise CrossfireError(f"{path} holds no attacker; train one with: bench train l2l")
    variant, kind, width = parts
    naive, channels = variant == "naive", found["channels"]
    net = build_attacker(
        kind,  # type: ignore[arg-type]
        inputs=channels if naive else 2 * channels,
        channels=channels,
        width=int(width),
    )
    checkpoint.fill(net, tensors, str(path))
    many = variant == "multi-step"
    steps = found["config"]["steps"] if many else 2 if variant == "two-step" else 1
    return Learned(Attacker(net), steps, STRIDE if many else 1.0, not naive)

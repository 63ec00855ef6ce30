"""The attack that `l2l` trains together with its classifier (Jiang et al. 2021, arXiv:1811.01213).

    bench evaluate runs/at --suite l2l:runs/l2l

One or a few forward passes of the attacker, whose inputs are the image and the model's input
gradient. In training that gradient is divided by the largest entry of the batch, here by that of
the example, so that a verdict does not depend on the other examples of the batch. The second of two
steps is added to the first one as clipped to the box.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench import losses
from bench.attacks.base import Response, Slots
from bench.errors import CrossfireError
from bench.models import checkpoint
from bench.models.attackers import STRIDE, build_attacker, perturbation, shrink
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, lift


class Attacker:
    """The attacker's network; protocols name it by the hash of its weights."""

    def __init__(self, net: nn.Module, channels: int) -> None:
        """Freeze `net`, for images of `channels` channels, in eval mode."""
        self.net, self.channels = net.eval().requires_grad_(False), channels
        self.__name__ = checkpoint.weights_sha256(net)

    def __call__(self, x: Tensor) -> Tensor:
        """Images, with gradients if it was trained with them, to raw perturbations."""
        raw: Tensor = self.net.to(x.device)(x)
        return raw


@dataclass(frozen=True)
class Learned:
    """The iteration: `steps` perturbations times `stride`, each clipped to the box, and the last
    one projected onto the ball. In training the first of two steps is not clipped before the
    second one is added."""

    attacker: Attacker
    steps: int = 1
    stride: float = 1.0
    needs_gradient: bool = True
    bounded: bool = True
    name: str = "l2l"

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """The cross-entropy, whose gradient is an input of the attacker."""
        return losses.cross_entropy(logits, slots.y)

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """The image itself.

        Raises:
            CrossfireError: the images have other channels than the attacker was trained with.
        """
        channels, theirs = slots.x.shape[1], self.attacker.channels
        if channels != theirs:
            raise CrossfireError(
                f"the attacker is for {theirs} channels, the images have {channels}; train one on "
                "such images"
            )
        return slots.next(slots.x, slots.done)

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """x + δ + stride · attacker(x + δ), at the last step projected."""
        inputs = slots.point
        if self.needs_gradient:
            largest = response.ascent.abs().flatten(1).amax(1).clamp_min(1e-12)
            inputs = torch.cat([inputs, response.ascent / lift(largest, response.ascent)], 1)
        with torch.no_grad():
            step = self.stride * perturbation(self.attacker(inputs), threat)
            moved = (slots.point + step).clamp(0, 1)
        last = slots.t >= self.steps
        project = GEOMETRY[threat.norm].project
        inside = slots.x + project(slots.x, shrink(moved - slots.x, threat), threat.eps)
        return slots.next(torch.where(lift(last, moved), inside, moved), last)


def attacker_file(path: Path) -> Path:
    """The file of an attack: given a run of `l2l`, its folder `attacker`, or the file itself."""
    files = (folder / "best.safetensors" for folder in (path / "attacker", path))
    return next((file for file in files if file.exists()), path)


def load_attacker(path: Path) -> Learned:
    """The attack of a run of `l2l`, of its folder `attacker`, or of a file in that folder.

    Raises:
        CrossfireError: there is no attacker.
    """
    path = attacker_file(path)
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
    stride = STRIDE if many else 1.0
    return Learned(Attacker(net, channels), steps, stride, not naive, bounded=not many)

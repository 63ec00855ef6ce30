"""Projected gradient descent (Madry et al. 2018), one loop for every norm.

    x_adv = pgd(model, x, y, Threat.parse("linf:8/255"), steps=10)

Each step moves by `step_size` along the norm's steepest ascent of a loss and projects onto ball ∩
box. The iteration is a deterministic map, so an iterate that occurs twice begins a cycle: with
`until_cycle` the slot stops there, because every later iterate would repeat an earlier one (Doldo
et al. 2025, arXiv:2503.19347). That holds for deterministic models only; `autoattack-rand` is the
suite for random ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench import losses
from bench.attacks.base import Response, Slots, drive
from bench.compute import random_streams
from bench.data.splits import outside_box
from bench.errors import CrossfireError
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY, Points, lift
from bench.types import Model

Loss = Callable[[Float[Tensor, "n k"], Int[Tensor, " n"]], Float[Tensor, " n"]]

STEP_SIZE = 1 / 4
"""As a share of epsilon, for every norm: Madry's 2/255 at 8/255."""


@dataclass(frozen=True)
class PGD:
    """The iteration. `step_size` is in units of epsilon; with `random_start` the first point is
    random in the ball, else it is the image."""

    steps: int = 10
    step_size: float = STEP_SIZE
    objective: Loss = losses.cross_entropy
    random_start: bool = True
    until_cycle: bool = False
    name: str = "pgd"
    needs_gradient: bool = True
    bounded: bool = True

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """The objective, untargeted."""
        return self.objective(logits, slots.y)

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """A random point of the ball, or the image."""
        if not self.random_start:
            return slots.next(slots.x, slots.done, **self._anchor(slots.x))
        noise = random_streams.uniform(slots.key, *slots.x.shape[1:])
        point = slots.x + GEOMETRY[threat.norm].random(slots.x, noise, threat.eps)
        return slots.next(point, slots.done, **self._anchor(point))

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """x ← P(x + α · steepest(∇loss))."""
        geometry = GEOMETRY[threat.norm]
        direction = geometry.steepest(response.ascent, slots.point)
        delta = slots.point - slots.x + self.step_size * threat.eps * direction
        point = slots.x + geometry.project(slots.x, delta, threat.eps)
        finished = slots.t >= self.steps
        if not self.until_cycle:
            return slots.next(point, finished)
        anchor = slots.memory["anchor"]
        returned = (point == anchor).flatten(1).all(1)
        # Brent's cycle detection: an anchor set at each power of two finds cycles of any length.
        moved = (slots.t & (slots.t - 1)) == 0
        anchor = torch.where(lift(moved, anchor), point, anchor)
        return slots.next(point, finished | returned, anchor=anchor)

    def _anchor(self, point: Tensor) -> dict[str, Tensor]:
        return {"anchor": point} if self.until_cycle else {}


@torch.inference_mode(mode=False)
def pgd(
    model: Model,
    x: Points,
    y: Int[Tensor, " n"],
    threat: Threat,
    *,
    steps: int = 10,
    step_size: float | None = None,
    objective: Loss = losses.cross_entropy,
    restarts: int = 1,
    random_start: bool = True,
    seed: int = 0,
    indices: Int[Tensor, " n"] | None = None,
) -> Points:
    """Adversarial examples of x (n, c, h, w) in [0, 1]: for each image the last point of a restart
    that is misclassified, or else of the one with the largest loss.

    `step_size` is in pixel units of the norm (default epsilon / 4). The random start of an image
    depends on the seed and on its number in `indices` (default: its position in the batch), not on
    the other images. Switch the model to eval mode first; freeze its weights to save the
    computation of their gradients.

    Raises:
        CrossfireError: there is no step or no restart, images are not float32 or float64 in [0, 1],
            or the threat is no `Threat`.
    """
    if min(steps, restarts) < 1:
        raise CrossfireError(f"{steps} steps and {restarts} restarts; give at least one of each")
    if x.dtype not in (torch.float32, torch.float64):
        raise CrossfireError(f"images are {x.dtype}; give float32 in [0, 1]")
    if not isinstance(threat, Threat):
        raise CrossfireError(f"threat is {threat!r}; give one such as Threat.parse('linf:8/255')")
    if message := outside_box(x := x.detach()):
        raise CrossfireError(message)
    x, y = x.clone(), y.long().clone()  # those made in inference mode have no gradients
    share = STEP_SIZE if step_size is None else step_size / threat.eps
    attack = PGD(steps, share, objective, random_start)
    numbers = torch.arange(len(x), device=x.device) if indices is None else indices.to(x.device)
    best, best_loss = x, torch.full((len(x),), -torch.inf, device=x.device)
    for restart in range(restarts):
        key = random_streams.keys(seed, numbers, "pgd", restart)
        point = drive(model, attack, Slots.fresh(x, y, y, key), threat)
        if restarts == 1:
            return point
        with torch.no_grad():
            logits = model(point)
        misclassified = ~(losses.margin(logits, y) < 0)
        loss = objective(logits, y).masked_fill(misclassified, torch.inf)
        better = loss > best_loss
        best = torch.where(lift(better, x), point, best)
        best_loss = torch.where(better, loss, best_loss)
    return best

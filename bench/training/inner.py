"""The inner maximisation: from a start, raise an objective inside ball ∩ box."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.geometry import GEOMETRY
from bench.losses import cross_entropy
from bench.threats import Threat
from bench.training.batches import Batch
from bench.training.nets import attacking
from bench.types import Images, Values

Objective = Callable[[Images], Values]
STEP = 0.25
"""Default step size as a share of epsilon: 2/255 at 8/255 (Madry et al. 2018)."""


def random_start(batch: Batch, threat: Threat) -> Float[Tensor, "n c h w"]:
    """A random perturbation of the batch within ball ∩ box: for ℓ∞, uniform in the ball."""
    geometry = GEOMETRY[threat.norm]
    noise = geometry.start(batch.uniform(f"start {threat.norm}"), threat.eps)
    return geometry.project(batch.x, noise, threat.eps)


def small_start(batch: Batch, threat: Threat) -> Float[Tensor, "n c h w"]:
    """0.001 · N(0, 1), projected: a divergence from f(x) has no gradient at x itself."""
    u = batch.uniform(f"start {threat.norm}")
    noise = 0.001 * 2**0.5 * torch.erfinv(2 * u - 1)
    return GEOMETRY[threat.norm].project(batch.x, noise, threat.eps)


def adversarial(
    net: nn.Module, batch: Batch, threat: Threat, *, steps: int = 10, step_size: float = STEP
) -> Images:
    """The batch's images after PGD on the cross-entropy of `net`, from a random start.

    `step_size` is in epsilons. The network is in eval mode and frozen meanwhile.
    """

    def objective(x: Images) -> Values:
        return cross_entropy(net(x), batch.y)

    with attacking(net):
        start = random_start(batch, threat)
        return ascend(objective, batch.x, threat, steps=steps, step_size=step_size, start=start)


def ascend(
    objective: Objective,
    x: Images,
    threat: Threat,
    *,
    steps: int = 10,
    step_size: float = STEP,
    start: Float[Tensor, "n c h w"] | None = None,
) -> Images:
    """x + δ after `steps` steepest-ascent steps of `objective`, which gives one value an example.

    `start` is the first δ (default 0), `step_size` is in epsilons. In contrast to an attack on
    logits, the objective may be anything of the image: a divergence from a teacher that sees the
    image too, or a loss of several networks.
    """
    geometry = GEOMETRY[threat.norm]
    delta = torch.zeros_like(x) if start is None else start
    for _ in range(steps):
        direction = geometry.steepest(input_gradient(objective, x + delta), x + delta)
        delta = geometry.project(x, delta + step_size * threat.eps * direction, threat.eps)
    return x + delta


def input_gradient(objective: Objective, point: Images) -> Float[Tensor, "n c h w"]:
    """The gradient of each example's objective with respect to its own image, as a constant."""
    point = point.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(point).sum(), point)
    return gradient

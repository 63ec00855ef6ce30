"""The inner maximisation: gradient ascent of an objective within ball ∩ box."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.attacks.pgd import STEP_SIZE
from bench.compute import processor
from bench.losses import cross_entropy, input_gradient, kl
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from bench.training.batches import Batch
from bench.training.nets import Net, attacking
from bench.types import Images, Labels, Logits, Values

Objective = Callable[[Images], Values]


def random_start(
    batch: Batch, threat: Threat, net: nn.Module | None = None
) -> Float[Tensor, "n c h w"]:
    """A random perturbation of the batch within ball ∩ box: for ℓ∞, uniform in the ball.

    It depends on the role of `net`, so that networks trained together have different starts.
    """
    return GEOMETRY[threat.norm].random(batch.x, _uniform(batch, threat, net), threat.eps)


def small_start(
    batch: Batch, threat: Threat, net: nn.Module | None = None
) -> Float[Tensor, "n c h w"]:
    """0.001 · N(0, 1), projected: at x itself a divergence from f(x) has gradient zero."""
    u = _uniform(batch, threat, net)
    noise = 0.001 * 2**0.5 * torch.erfinv(2 * u - 1)
    return GEOMETRY[threat.norm].project(batch.x, noise, threat.eps)


def _uniform(batch: Batch, threat: Threat, net: nn.Module | None) -> Float[Tensor, "n c h w"]:
    role = net.role if isinstance(net, Net) else "net"
    return batch.uniform(f"start {threat.norm}" + (f" {role}" if role != "net" else ""))


def cross_entropy_of(net: nn.Module, y: Labels) -> Objective:
    """The usual objective: the cross-entropy of `net` as a function of the image."""
    return lambda x: cross_entropy(net(x), y)


def adversarial(
    net: nn.Module,
    batch: Batch,
    threat: Threat,
    *,
    steps: int = 10,
    step_size: float = STEP_SIZE,
    start: Float[Tensor, "n c h w"] | None = None,
) -> Images:
    """The batch's images after PGD on the cross-entropy of `net`.

    `step_size` is in epsilons; the default `start` is random. The network is in eval mode and
    frozen during the attack.
    """
    start = random_start(batch, threat, net) if start is None else start
    objective = cross_entropy_of(net, batch.y)
    with attacking(net):
        return ascend(objective, batch.x, threat, steps=steps, step_size=step_size, start=start)


def adversarial_each(
    attacked: Sequence[tuple[nn.Module, Threat]],
    batch: Batch,
    *,
    steps: int = 10,
    step_size: float = STEP_SIZE,
) -> list[Images]:
    """For each network and threat, the batch's images after PGD as `adversarial` makes them.

    A network is attacked under all its threats as one batch. On a CPU several networks are attacked
    at the same time, one on each core, because small images leave cores idle.
    """
    threats: dict[nn.Module, list[Threat]] = {}
    for net, threat in attacked:
        threats.setdefault(net, []).append(threat)
    # The network with most threats first, so that no core is left with the longest work at the end.
    nets = sorted(threats, key=lambda net: len(threats[net]), reverse=True)

    def attack(net: nn.Module) -> list[Images]:
        objective = cross_entropy_of(net, batch.y.repeat(len(threats[net])))
        starts = [random_start(batch, threat, net) for threat in threats[net]]
        return ascend_each(objective, batch.x, threats[net], starts, steps, step_size)

    with attacking(*nets):
        found = processor.in_parallel([partial(attack, net) for net in nets], batch.x.device)
    images = {net: iter(own) for net, own in zip(nets, found, strict=True)}
    return [next(images[net]) for net, _ in attacked]


def adversarial_kl(
    net: nn.Module,
    batch: Batch,
    threat: Threat,
    reference: Logits,
    *,
    steps: int = 10,
    step_size: float = STEP_SIZE,
) -> Images:
    """The batch's images after PGD on KL(reference ‖ `net`), from a small start.

    `reference` are constant logits, those of a teacher or of the network at x.
    """

    def objective(x: Images) -> Values:
        return kl(reference, net(x))

    with attacking(net):
        start = small_start(batch, threat, net)
        return ascend(objective, batch.x, threat, steps=steps, step_size=step_size, start=start)


def hardest(net: nn.Module, batch: Batch, candidates: Sequence[Images]) -> Images:
    """For each image the candidate with the largest cross-entropy of `net` in eval mode."""
    with attacking(net), torch.no_grad():
        losses = torch.stack([cross_entropy(net(x), batch.y) for x in candidates])
    chosen = losses.argmax(0)
    return torch.stack(list(candidates))[chosen, torch.arange(len(chosen), device=chosen.device)]


def ascend(
    objective: Objective,
    x: Images,
    threat: Threat,
    *,
    steps: int = 10,
    step_size: float = STEP_SIZE,
    start: Float[Tensor, "n c h w"] | None = None,
) -> Images:
    """x + δ after `steps` steepest-ascent steps of `objective`.

    The objective returns one value for each example, and may be any function of the image: a
    divergence from a teacher at the same image, or a loss of several networks. `start` is the
    first δ (default 0), `step_size` is in epsilons.
    """
    start = torch.zeros_like(x) if start is None else start
    return ascend_each(objective, x, [threat], [start], steps, step_size)[0]


def ascend_each(
    objective: Objective,
    x: Images,
    threats: Sequence[Threat],
    starts: Sequence[Float[Tensor, "n c h w"]],
    steps: int,
    step_size: float,
) -> list[Images]:
    """`ascend` for each threat from its start; `objective` gets the images of all threats as one
    batch, threat by threat."""
    deltas = list(starts)
    for _ in range(steps):
        points = [x + delta for delta in deltas]
        gradients = torch.split(input_gradient(objective, torch.cat(points)), len(x))
        for k, threat in enumerate(threats):
            geometry = GEOMETRY[threat.norm]
            step = step_size * threat.eps * geometry.steepest(gradients[k], points[k])
            deltas[k] = geometry.project(x, deltas[k] + step, threat.eps)
    return [x + delta for delta in deltas]


def logits_and_gradient(
    net: nn.Module, x: Images, y: Labels, *, create_graph: bool
) -> tuple[Logits, Float[Tensor, "n c h w"]]:
    """The logits of `net` at x, and the input gradient of its cross-entropy there.

    With `create_graph` the gradient can be differentiated in turn.
    """
    point = x.detach().requires_grad_()
    logits = net(point)
    loss = cross_entropy(logits, y).sum()
    (gradient,) = torch.autograd.grad(loss, point, create_graph=create_graph)
    return logits, gradient

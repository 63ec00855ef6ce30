"""Checks of the model and the images before the attacks; each is a pure function that yields
findings. Several use the same logits of the images, so that the model is queried only once.

A finding of gate `refuse` ends the evaluation with one line; `flag` ranks the row separately;
`info` is only reported. P1 to P13 are the names of the checks in records and documents.
"""

from collections.abc import Iterator, Sequence
from unittest.mock import patch

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench import losses
from bench.data.splits import outside_box
from bench.errors import CrossfireError, reason
from bench.evaluation.judge import VOTES
from bench.evaluation.repair import Inset
from bench.threats import Norm, Threat
from bench.threats.geometry import GEOMETRY, Points
from bench.types import Logits, Model
from leaderboard.schema import Finding

MOST_RATIO = 3.0
LEAST_RATIO: dict[Norm, float] = {"linf": 0.4, "l2": 0.4, "l1": 0.2}
"""P10's limits of the ratio between the change of a margin and its linear prediction. In ℓ1 the
lower limit is smaller, because the steepest step moves fewer pixels than the prediction assumes."""

LOST = 0.01
"""The limit of P12 and P13."""

_MISLEADING = ("P4", "P6", "P7", "P10", "P11", "P13")

_MODE_DEPENDENT = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def misleading(findings: Sequence[Finding], threat: str | None = None) -> bool:
    """Whether findings say that gradients are unreliable, under one threat or under any.

    P10 names its threat; the others hold for all threats.
    """
    return any(
        finding.id in _MISLEADING
        and (threat is None or finding.id != "P10" or finding.message.startswith(f"{threat}: "))
        for finding in findings
    )


def clamped(findings: Sequence[Finding]) -> bool:
    """Whether findings say that pixels on the bounds have no gradient."""
    return any(finding.id == "P12" for finding in findings)


class Refusal(CrossfireError):
    """The model or the data can't be evaluated; nothing is written."""


def refuse(findings: list[Finding]) -> None:
    """Raise the first finding that forbids the evaluation.

    Raises:
        Refusal: there is such a finding.
    """
    for finding in findings:
        if finding.gate == "refuse":
            raise Refusal(f"refused ({finding.id}): {finding.message}")


def image_range(images: Points) -> Iterator[Finding]:
    """P2: pixels are float32 in [0, 1]; a model's normalisation belongs inside the model."""
    if message := outside_box(images):
        yield Finding("P2", "refuse", message, None)


def mode(model: Model) -> Iterator[Finding]:
    """P3: batch norm and dropout are in eval mode."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    training = [type(m).__name__ for m in modules if isinstance(m, _MODE_DEPENDENT) and m.training]
    if training:
        message = (
            f"{len(training)} layers such as {training[0]} are in train mode; call model.eval()"
        )
        yield Finding("P3", "refuse", message, float(len(training)))


def with_noise(model: Model, images: Points, logits: Logits) -> Float[Tensor, "m k"]:
    """The logits of the images, followed by those of as many images of noise."""
    return torch.cat([logits, predicted(model, _noise(images))])


def finite(logits: Logits) -> Iterator[Finding]:
    """P1: logits are finite."""
    bad = int((~logits.isfinite()).any(1).sum())
    if bad:
        message = f"{bad} of {len(logits)} outputs are NaN or infinite; correct the model"
        yield Finding("P1", "refuse", message, float(bad))


def determinism(model: Model, images: Points, first: Logits) -> Iterator[Finding]:
    """P4: five passes over the same images agree to 1e-4 of the logits' norm."""
    others = [predicted(model, images) for _ in range(4)]
    gap = max(
        float(((o - first).norm(dim=1) / first.norm(dim=1).clamp_min(1e-12)).max()) for o in others
    )
    if gap > 1e-4 or any(bool((o.argmax(1) != first.argmax(1)).any()) for o in others):
        message = f"outputs are random: majorities of {VOTES} passes decide, the row has no rank"
        yield Finding("P4", "flag", message, gap)


def batch_independence(model: Model, images: Points, together: Logits) -> Iterator[Finding]:
    """P5: an image's logits don't depend on the other images of its batch or on their order."""
    alone = torch.cat([predicted(model, image[None]) for image in images])
    reordered = predicted(model, images.flip(0)).flip(0)
    spread = together.abs().amax().clamp_min(1e-12)
    gap = max(float((other - together).abs().amax() / spread) for other in (alone, reordered))
    if not gap <= 1e-3:
        message = f"logits change by {gap:.2g} of their size with the other images of a batch"
        yield Finding("P5", "refuse", f"{message}; each image must be classified on its own", gap)


def probabilities(outputs: Logits) -> Iterator[Finding]:
    """P6: outputs are logits; gradients of probabilities vanish where the model is confident."""
    if bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < 1e-5).all()):
        yield Finding("P6", "flag", "outputs look like probabilities; remove the softmax", None)


def gradients(model: Model, images: Points, labels: Int[Tensor, " n"]) -> Iterator[Finding]:
    """P8, P12, P13 and P7: the loss has a gradient with respect to the pixels, also where they are
    0 or 1, and it is not exactly zero."""
    noise = _noise(images)
    try:
        slopes = _slopes(model, images, labels)
        inner_slopes = _slopes(Inset(model), images, labels)
        noise_slopes = _slopes(model, noise, labels)
    except Exception as error:
        message = f"no gradient reaches the pixels ({reason(error)}); give a differentiable model"
        yield Finding("P8", "refuse", message, None)
        return
    lost = list(bounds(images, slopes, inner_slopes))
    yield from lost
    slopes = inner_slopes if lost else slopes
    yield from plateaus(slopes, noise_slopes)
    zero = float((slopes == 0).flatten(1).all(1).float().mean())
    if zero:
        message = f"the gradient of the loss is exactly zero on {zero:.0%} of the images tried"
        yield Finding("P7", "flag", f"{message}: gradients may be masked", zero)


def bounds(images: Points, slopes: Points, inner_slopes: Points) -> Iterator[Finding]:
    """P12: where pixels are 0 or 1, the slopes of the loss are finite and not zero, as far as its
    slopes slightly inside [0, 1] are."""
    there = ((images == 0) | (images == 1)) & inner_slopes.isfinite() & (inner_slopes != 0)
    lost = there & ((slopes == 0) | ~slopes.isfinite())
    share = float(lost.sum() / there.sum().clamp_min(1))
    if share > LOST:
        message = f"{share:.0%} of the pixels that are 0 or 1 have no gradient, as behind a clamp"
        yield Finding("P12", "info", f"{message}; attacks query the model slightly inside", share)


def plateaus(slopes: Points, noise_slopes: Points) -> Iterator[Finding]:
    """P13: in images with any gradient, the pixels that have one in noise have one too."""
    some = (slopes != 0).flatten(1).any(1)
    slopes, noise_slopes = slopes[some], noise_slopes[some]
    there = noise_slopes.isfinite() & (noise_slopes != 0)
    share = float((there & (slopes == 0)).sum() / there.sum().clamp_min(1))
    if share > LOST:
        message = (
            f"{share:.0%} of the pixels have no gradient, but have one in noise, as on one side of "
            "a threshold: gradients are unreliable, and the suite's escalation runs if it has one"
        )
        yield Finding("P13", "info", message, share)


def optimisation(model: Model, images: Points) -> Iterator[Finding]:
    """P11: the forward pass computes no gradient itself."""
    engine = torch.autograd
    with (
        patch.object(engine, "grad", wraps=engine.grad) as grad,
        patch.object(engine, "backward", wraps=engine.backward) as backward,
    ):
        model(images)
    taken = grad.call_count + backward.call_count
    if taken:
        message = "the forward pass computes gradients"
        advice = "attack through the inner optimisation, and also the model without it"
        yield Finding("P11", "flag", f"{message}; {advice}", float(taken))


def _noise(images: Points) -> Points:
    return torch.rand(images.shape, generator=torch.Generator().manual_seed(0)).to(images)


def _slopes(model: Model, images: Points, labels: Int[Tensor, " n"]) -> Points:
    return losses.input_gradient(lambda x: losses.cross_entropy(model(x), labels), images)


def linearity(model: Model, images: Points, labels: Int[Tensor, " n"], threat: Threat) -> float:
    """The change of the margin by one step along the steepest direction, divided by the largest
    change in the threat that the gradient predicts: the median over the images."""
    geometry, point = GEOMETRY[threat.norm], images.detach().clone().requires_grad_()
    before = losses.margin(model(point), labels)
    (gradient,) = torch.autograd.grad(before.sum(), point)
    predicted_change = geometry.gap(images, torch.zeros_like(images), gradient, threat.eps)
    step = geometry.full_step(images, gradient, threat.eps)
    change = (losses.margin(predicted(model, images + step), labels) - before.detach()).abs()
    return float((change / predicted_change.clamp_min(1e-30)).nan_to_num(0).median())


def tangent(
    model: Model, images: Points, labels: Int[Tensor, " n"], threat: Threat
) -> Iterator[Finding]:
    """P10: one step changes the margin about as much as its gradient predicts: for the median
    image, at least `LEAST_RATIO` times and at most `MOST_RATIO` times as much."""
    ratio = linearity(model, images, labels, threat)
    if not LEAST_RATIO[threat.norm] <= ratio <= MOST_RATIO:
        message = (
            f"{threat}: a step changes margins by {ratio:.2g} times what their gradients predict: "
            "gradients are unreliable, and the suite's escalation runs if it has one"
        )
        yield Finding("P10", "info", message, ratio)


def class_count(classes: int, labels: Int[Tensor, " n"]) -> Iterator[Finding]:
    """P9: there are two classes or more, and every label has a logit; with few classes some losses
    are undefined."""
    most = int(labels.max())
    if classes < 2:
        message = "the model has one class, so that no prediction can change; give it two or more"
        yield Finding("P9", "refuse", message, float(classes))
    elif most >= classes:
        message = f"labels go up to {most} but the model has {classes} classes; check the data set"
        yield Finding("P9", "refuse", message, float(classes))
    elif classes < 4:
        message = f"{classes} classes: margins replace the DLR losses, which need more classes"
        yield Finding("P9", "info", message, float(classes))


def preflight(model: Model, images: Points, labels: Int[Tensor, " n"]) -> list[Finding]:
    """Every check on a few images (n, c, h, w).

    Raises:
        Refusal: one of them forbids the evaluation, or the model rejects the images.
    """
    findings: list[Finding] = []

    def run(checks: Iterator[Finding]) -> bool:
        found = list(checks)
        refuse(found)
        findings.extend(found)
        return bool(found)

    run(image_range(images))
    run(mode(model))
    logits = predicted(model, images)
    run(class_count(logits.shape[1], labels))
    run(finite(with_noise(model, images, logits)))
    if not run(determinism(model, images, logits)):
        several = images if len(images) > 1 else torch.cat([images, _noise(images)])
        run(batch_independence(model, several, predicted(model, several)))
    run(probabilities(logits))
    run(gradients(model, images, labels))
    run(optimisation(model, images))
    return findings


def predicted(model: Model, images: Points) -> Logits:
    """The model's logits (n, classes), float32.

    Raises:
        Refusal: the model does not accept the images, changes them, or returns something else.
    """
    given = images.clone()
    try:
        with torch.no_grad():
            logits = model(images)
    except Exception as error:
        message = f"the model does not accept images {tuple(images.shape[1:])}: {reason(error)}"
        advice = "" if _is_float32(model) else "; give a float32 model"
        raise Refusal(message + advice) from error
    if not torch.equal(images, given):
        raise Refusal(
            "the model changes the images that it is given; write x = x - mean, not x -= mean"
        )
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(images):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise Refusal(f"the model must return logits (n, classes), not {shape}")
    return logits.float()


def _is_float32(model: Model) -> bool:
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return all(weight.dtype == torch.float32 for weight in weights)

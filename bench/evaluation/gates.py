"""Whether to believe a measurement: checks before the attacks, each a pure function that returns
what it found. Several look at the same logits of the images, so that the model is asked but once.

A finding of gate `refuse` ends the evaluation with one line; `flag` shows the row apart; `info` is
said and no more. The names P1 to P10 are those by which records and documents call the checks.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench import losses
from bench.errors import CrossfireError
from bench.threats import Norm, Threat
from bench.threats.geometry import GEOMETRY, Batch
from bench.types import Model
from leaderboard.schema import Finding

Logits = Float[Tensor, "n k"]

STEEP = 3.0
FLAT: dict[Norm, float] = {"linf": 0.4, "l2": 0.4, "l1": 0.2}
"""How far a change of margin may be from its tangent before gradients are said to mislead; the
steepest step in ℓ1 is shorter than what the gap allows, so it may keep less of the promise."""

_MISLEADING = ("P4", "P6", "P7", "P10")

_MODAL = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def misleading(findings: Sequence[Finding], threat: str | None = None) -> bool:
    """Whether findings say that gradients may mislead, under one threat or under any.

    P10 names the threat that it looked at; the others hold for all.
    """
    return any(
        finding.id in _MISLEADING
        and (threat is None or finding.id != "P10" or finding.message.startswith(f"{threat}: "))
        for finding in findings
    )


class Refusal(CrossfireError):
    """The model or the data can't be measured; nothing is written."""


def refuse(findings: list[Finding]) -> None:
    """Raise the first finding that forbids the measurement.

    Raises:
        Refusal: there is one.
    """
    for finding in findings:
        if finding.gate == "refuse":
            raise Refusal(f"refused ({finding.id}): {finding.message}")


def image_range(images: Batch) -> Iterator[Finding]:
    """P2: pixels are float32 in [0, 1]; a model's normalisation belongs inside the model."""
    low, high = float(images.min()), float(images.max())
    if low < -1e-6 or high > 1 + 1e-6 or not torch.isfinite(images).all():
        mend = "divide them by 255" if low >= 0 and high > 2 else "give raw pixels in [0, 1]"
        message = (
            f"images reach from {low:.4g} to {high:.4g}; {mend} and normalise inside the model"
        )
        yield Finding("P2", "refuse", message, max(-low, high - 1))


def mode(model: Model) -> Iterator[Finding]:
    """P3: batch norm and dropout are in eval mode."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    training = [type(m).__name__ for m in modules if isinstance(m, _MODAL) and m.training]
    if training:
        message = (
            f"{len(training)} layers such as {training[0]} are in train mode; call model.eval()"
        )
        yield Finding("P3", "refuse", message, float(len(training)))


def finite(model: Model, images: Batch, logits: Logits) -> Iterator[Finding]:
    """P1: logits of images and of noise are numbers."""
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)).to(images)
    bad = sum(int((~x.isfinite()).any(1).sum()) for x in (logits, predicted(model, noise)))
    if bad:
        message = f"{bad} of {2 * len(images)} outputs are NaN or infinite; mend the model"
        yield Finding("P1", "refuse", message, float(bad))


def determinism(model: Model, images: Batch, first: Logits) -> Iterator[Finding]:
    """P4: five passes over the same images agree to 1e-4 of the logits' length."""
    others = [predicted(model, images) for _ in range(4)]
    gap = max(
        float(((o - first).norm(dim=1) / first.norm(dim=1).clamp_min(1e-12)).max()) for o in others
    )
    if gap > 1e-4 or any(bool((o.argmax(1) != first.argmax(1)).any()) for o in others):
        message = "the model answers differently each time; use --suite autoattack-rand"
        yield Finding("P4", "flag", message, gap)


def batch_independence(model: Model, images: Batch, together: Logits) -> Iterator[Finding]:
    """P5: an image's logits don't depend on the images beside it, their number or their order."""
    alone = torch.cat([predicted(model, image[None]) for image in images])
    reordered = predicted(model, images.flip(0)).flip(0)
    spread = together.abs().amax().clamp_min(1e-12)
    gap = max(float((other - together).abs().amax() / spread) for other in (alone, reordered))
    if not gap <= 1e-3:
        message = f"logits change by {gap:.2g} of their size with the other images of a batch"
        yield Finding("P5", "refuse", f"{message}; the model must treat each image alone", gap)


def probabilities(outputs: Logits) -> Iterator[Finding]:
    """P6: outputs are logits, not probabilities, whose gradients vanish where the model is sure."""
    if bool((outputs >= 0).all()) and bool(((outputs.sum(1) - 1).abs() < 1e-5).all()):
        yield Finding("P6", "flag", "outputs look like probabilities; remove the softmax", None)


def gradients(model: Model, images: Batch, labels: Int[Tensor, " n"]) -> Iterator[Finding]:
    """P7 and P8: the loss has a gradient with respect to the pixels, and it is not exactly zero."""
    point = images.detach().clone().requires_grad_()
    try:
        loss = losses.cross_entropy(model(point), labels).sum()
        (gradient,) = torch.autograd.grad(loss, point)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        message = f"no gradient reaches the pixels ({reason}); give a differentiable surrogate"
        yield Finding("P8", "refuse", message, None)
        return
    zero = float((gradient.flatten(1) == 0).all(1).float().mean())
    if zero:
        message = f"the gradient of the loss is exactly zero on {zero:.0%} of the images tried"
        yield Finding("P7", "flag", f"{message}: gradients may be masked", zero)


def promise_kept(model: Model, images: Batch, labels: Int[Tensor, " n"], threat: Threat) -> float:
    """How many times its promise a margin changes, for the median image, after one step to where
    the gradient promises the largest margin."""
    geometry, point = GEOMETRY[threat.norm], images.detach().clone().requires_grad_()
    before = losses.margin(model(point), labels)
    (gradient,) = torch.autograd.grad(before.sum(), point)
    nowhere = torch.zeros_like(images)
    promised = geometry.gap(images, nowhere, gradient, threat.eps)
    step = geometry.project(images, threat.eps * geometry.steepest(gradient, images), threat.eps)
    change = (losses.margin(predicted(model, images + step), labels) - before.detach()).abs()
    return float((change / promised.clamp_min(1e-30)).nan_to_num(0).median())


def tangent(
    model: Model, images: Batch, labels: Int[Tensor, " n"], threat: Threat
) -> Iterator[Finding]:
    """P10: one step to where the gradient promises the largest margin changes it about as much as
    promised: for the median image, not over `STEEP` times as much nor under `FLAT`."""
    share = promise_kept(model, images, labels, threat)
    if not FLAT[threat.norm] <= share <= STEEP:
        message = (
            f"{threat}: a step changes margins by {share:.2g} times what their gradients promise: "
            "gradients mislead, and where the suite has an escalation, it is run"
        )
        yield Finding("P10", "info", message, share)


def class_count(classes: int, labels: Int[Tensor, " n"]) -> Iterator[Finding]:
    """P9: every label has a logit; few classes change what some attacks can do."""
    most = int(labels.max())
    if most >= classes:
        message = f"labels go up to {most} but the model has {classes} classes; check the data set"
        yield Finding("P9", "refuse", message, float(classes))
    elif classes < 4:
        message = f"{classes} classes: margins stand in for the DLR losses, which need more"
        yield Finding("P9", "info", message, float(classes))


def preflight(model: Model, images: Batch, labels: Int[Tensor, " n"]) -> list[Finding]:
    """Every check on a few images (n, c, h, w).

    Raises:
        Refusal: one of them forbids the measurement, or the model rejects the images.
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
    run(finite(model, images, logits))
    if not run(determinism(model, images, logits)):
        run(batch_independence(model, images, logits))
    run(probabilities(logits))
    run(gradients(model, images, labels))
    return findings


def predicted(model: Model, images: Batch) -> Logits:
    """The model's logits (n, classes), float32.

    Raises:
        Refusal: the model does not accept the images, or gives something else.
    """
    try:
        with torch.no_grad():
            logits = model(images)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refusal(
            f"the model does not accept images {tuple(images.shape[1:])}: {reason}"
        ) from None
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(images):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise Refusal(f"the model must return logits (n, classes), not {shape}")
    return logits.float()

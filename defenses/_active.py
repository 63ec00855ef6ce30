"""The active teacher (Ma & Ying 2020, arXiv:2012.07233), as we instantiate its abstract.

Training data hold a teacher's labels at x, but not its predictions at x'. The student queries the
teacher on the share of the batch of which the student is least certain: for the label at x', for
the logits, or for the logits and the input gradient, which the student then matches. On the other
examples it uses the label of x, as adversarial training does: without queries it is `at`.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from bench.losses import cross_entropy
from bench.training import evaluating, logits_and_gradient
from bench.types import Logits, Values
from defenses._distillation import FLOAT_BITS, DistillationStep, Response

Indices = Int[Tensor, " m"]


def active(step: DistillationStep) -> Values:
    """One value for each example: the loss to the teacher's response, or to the label of x."""
    loss = cross_entropy(step.student_adversarial, step.batch.y)
    chosen = least_certain(step.student_adversarial.detach(), step.terms.queries)
    if not len(chosen):
        return loss
    return loss.index_copy(0, chosen, RESPONSE_LOSSES[step.terms.response](step, chosen))


def least_certain(logits: Logits, share: float) -> Indices:
    """The examples with the smallest gap between the two largest probabilities, in batch order."""
    top = logits.softmax(1).topk(2, dim=1).values
    count = round(share * len(logits))
    return (top[:, 0] - top[:, 1]).argsort(stable=True)[:count].sort().values


def _labels(step: DistillationStep, chosen: Indices) -> Tensor:
    with torch.no_grad():
        logits = step.teacher(step.adversarial[chosen])
    step.bits += len(chosen) * math.log2(logits.shape[1])
    return cross_entropy(step.student_adversarial[chosen], logits.argmax(1))


def _soft(step: DistillationStep, chosen: Indices) -> Tensor:
    with torch.no_grad():
        logits = step.teacher(step.adversarial[chosen])
    step.bits += FLOAT_BITS * logits.numel()
    return step.divergence(logits, step.student_adversarial[chosen])


def _gradients(step: DistillationStep, chosen: Indices) -> Tensor:
    x, y = step.adversarial[chosen], step.batch.y[chosen]
    logits, target = logits_and_gradient(step.teacher, x, y, create_graph=False)
    with evaluating(step.student):  # as the teacher is, and batch norm sees each image once
        _, own = logits_and_gradient(step.student, x, y, create_graph=True)
    step.bits += FLOAT_BITS * (logits.numel() + target.numel())
    distilled = step.divergence(logits.detach(), step.student_adversarial[chosen])
    return distilled + step.terms.slope * (own - target).square().flatten(1).sum(1)


RESPONSE_LOSSES: dict[Response, Callable[[DistillationStep, Indices], Tensor]] = {
    "labels": _labels,
    "soft": _soft,
    "gradients": _gradients,
}

"""The active teacher (Ma & Ying 2020, arXiv:2012.07233), as we instantiate its abstract.

Training data carry a teacher's labels at x; they do not carry the teacher at x'. The student asks
about that share of the batch on which it is least certain: for the label at x', for the whole
prediction, or for the prediction and the input gradient there, which the student then matches.
Elsewhere it copies the label of x, as adversarial training does: with no queries it is `at`.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Int
from torch import Tensor

from bench.losses import cross_entropy
from bench.training import Net
from bench.types import Images, Labels, Logits, Values
from defenses._lessons import FLOAT_BITS, Ask, Lesson

Indices = Int[Tensor, " m"]


def active(lesson: Lesson) -> Values:
    """One value an example: what the teacher says where it is asked, the copied label elsewhere."""
    loss = cross_entropy(lesson.student_adversarial, lesson.batch.y)
    chosen = least_certain(lesson.student_adversarial.detach(), lesson.terms.queries)
    if not len(chosen):
        return loss
    return loss.index_copy(0, chosen, ANSWERS[lesson.terms.ask](lesson, chosen))


def least_certain(logits: Logits, share: float) -> Indices:
    """The examples with the smallest gap between the two largest probabilities, in batch order."""
    top = logits.softmax(1).topk(2, dim=1).values
    count = round(share * len(logits))
    return (top[:, 0] - top[:, 1]).argsort(stable=True)[:count].sort().values


def _labels(lesson: Lesson, chosen: Indices) -> Tensor:
    with torch.no_grad():
        answers = lesson.teacher(lesson.adversarial[chosen])
    lesson.bits += len(chosen) * math.log2(answers.shape[1])
    return cross_entropy(lesson.student_adversarial[chosen], answers.argmax(1))


def _soft(lesson: Lesson, chosen: Indices) -> Tensor:
    with torch.no_grad():
        answers = lesson.teacher(lesson.adversarial[chosen])
    lesson.bits += FLOAT_BITS * answers.numel()
    return lesson.divergence(answers, lesson.student_adversarial[chosen])


def _gradients(lesson: Lesson, chosen: Indices) -> Tensor:
    x, y = lesson.adversarial[chosen], lesson.batch.y[chosen]
    answers, wanted = slope(lesson.teacher, x, y, create_graph=False)
    _, own = slope(lesson.student, x, y, create_graph=True)
    lesson.bits += FLOAT_BITS * (answers.numel() + wanted.numel())
    taught = lesson.divergence(answers.detach(), lesson.student_adversarial[chosen])
    return taught + lesson.terms.slope * (own - wanted).square().flatten(1).sum(1)


def slope(net: Net, x: Images, y: Labels, *, create_graph: bool) -> tuple[Logits, Images]:
    """The logits of `net` at x, and the input gradient of its cross-entropy there."""
    point = x.detach().requires_grad_()
    logits = net(point)
    loss = cross_entropy(logits, y).sum()
    (gradient,) = torch.autograd.grad(loss, point, create_graph=create_graph)
    return logits, gradient


ANSWERS: dict[Ask, Callable[[Lesson, Indices], Tensor]] = {
    "labels": _labels,
    "soft": _soft,
    "gradients": _gradients,
}

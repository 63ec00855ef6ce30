"""The losses of `teacher_student`, one value an example, and the logits that they share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch

from bench.losses import cross_entropy, kl
from bench.training import Batch, Net
from bench.types import Images, Logits, Values

Ask = Literal["labels", "soft", "gradients"]
FLOAT_BITS = 32


@dataclass(frozen=True)
class Terms:
    """Hyper-parameters, as the options call them; beta = 0 trusts the teacher fully."""

    alpha: float
    temperature: float
    gamma: float
    beta: float
    mean: bool
    ask: Ask
    queries: float
    slope: float


@dataclass
class Lesson:
    """One batch before student and teacher; each network sees each image set at most once.

    `bits` counts what the teacher has said: log2 k for a label, 32 for each number.
    """

    student: Net
    teacher: Net
    natural: Net | None
    batch: Batch
    terms: Terms
    x_adv: Images | None = None
    bits: float = 0.0

    @property
    def adversarial(self) -> Images:
        """x'."""
        assert self.x_adv is not None
        return self.x_adv

    @cached_property
    def student_clean(self) -> Logits:
        """f(x)."""
        logits: Logits = self.student(self.batch.x)
        return logits

    @cached_property
    def student_adversarial(self) -> Logits:
        """f(x')."""
        logits: Logits = self.student(self.adversarial)
        return logits

    @cached_property
    def teacher_clean(self) -> Logits:
        """t(x)."""
        return self._ask(self.teacher, self.batch.x)

    @cached_property
    def teacher_adversarial(self) -> Logits:
        """t(x')."""
        return self._ask(self.teacher, self.adversarial)

    @cached_property
    def natural_adversarial(self) -> Logits:
        """n(x')."""
        assert self.natural is not None
        return self._ask(self.natural, self.adversarial)

    def divergence(self, p: Logits, q: Logits) -> Values:
        """T² KL(p ‖ q), divided by the number of classes where that is wanted."""
        temperature = self.terms.temperature
        classes = p.shape[1] if self.terms.mean else 1
        return temperature**2 * kl(p, q, temperature) / classes

    @cached_property
    def trust(self) -> Values:
        """A: how far the teacher is right at x', to the power of beta."""
        right = self.teacher_adversarial.softmax(1).gather(1, self.batch.y[:, None]).squeeze(1)
        return right**self.terms.beta

    @torch.no_grad()
    def _ask(self, net: Net, x: Images) -> Logits:
        logits: Logits = net(x)
        self.bits += FLOAT_BITS * logits.numel()
        return logits


def ard(lesson: Lesson) -> Values:
    """Adversarially robust distillation."""
    alpha = lesson.terms.alpha
    loss = alpha * lesson.divergence(lesson.teacher_clean, lesson.student_adversarial)
    if alpha < 1:
        loss = loss + (1 - alpha) * cross_entropy(lesson.student_clean, lesson.batch.y)
    return loss


def rslad(lesson: Lesson) -> Values:
    """Robust soft label adversarial distillation."""
    alpha, said = lesson.terms.alpha, lesson.teacher_clean
    at_adversarial = lesson.divergence(said, lesson.student_adversarial)
    return alpha * at_adversarial + (1 - alpha) * lesson.divergence(said, lesson.student_clean)


def iad1(lesson: Lesson) -> Values:
    """Introspective adversarial distillation; as in its code, A weighs the second term alone."""
    alpha = lesson.terms.alpha
    loss = ard(lesson)
    if lesson.terms.beta:
        own = kl(lesson.student_clean, lesson.student_adversarial)
        loss = loss + alpha * (1 - lesson.trust) * own
    return loss


def iad2(lesson: Lesson) -> Values:
    """Introspective adversarial distillation with two teachers."""
    terms, at_adversarial = lesson.terms, lesson.student_adversarial
    taught = lesson.trust * lesson.divergence(lesson.teacher_adversarial, at_adversarial)
    if terms.beta:
        own = lesson.divergence(lesson.student_clean, at_adversarial)
        taught = taught + (1 - lesson.trust) * own
    natural = lesson.divergence(lesson.natural_adversarial, at_adversarial)
    labelled = cross_entropy(at_adversarial, lesson.batch.y)
    rest = 1 - terms.alpha - terms.gamma
    return terms.alpha * taught + terms.gamma * natural + rest * labelled


def adaad(lesson: Lesson) -> Values:
    """Adaptive adversarial distillation."""
    alpha = lesson.terms.alpha
    loss = alpha * lesson.divergence(lesson.teacher_adversarial, lesson.student_adversarial)
    if alpha < 1:
        at_clean = lesson.divergence(lesson.teacher_clean, lesson.student_clean)
        loss = loss + (1 - alpha) * at_clean
    return loss


ALPHA = {"ard": 1.0, "rslad": 5 / 6, "iad1": 1.0, "iad2": 0.5, "adaad": 1.0, "active": 1.0}
"""The weight of the teacher in each paper's code."""

BEGIN = {"iad1": 60 / 200, "iad2": 40 / 200}
"""The share of the epochs, from the first, in which A is 1, in the paper's code."""

LOSSES: dict[str, Callable[[Lesson], Values]] = {
    **{"ard": ard, "rslad": rslad, "iad1": iad1, "iad2": iad2, "adaad": adaad}
}

"""The losses of `teacher_student`, one value for each example, and the logits that they share."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch

from bench.losses import cross_entropy, kl
from bench.training import Batch, Net
from bench.types import Images, Logits, Values

Response = Literal["labels", "soft", "gradients"]
"""What the teacher returns for a query; `soft` are its logits."""
FLOAT_BITS = 32


@dataclass(frozen=True)
class Terms:
    """Hyper-parameters, named like the options; with beta = 0 the teacher is trusted fully."""

    alpha: float
    temperature: float
    gamma: float
    beta: float
    mean: bool
    response: Response
    queries: float
    slope: float


@dataclass
class DistillationStep:
    """One training step: a batch, its adversarial examples, and the logits of student and teachers.

    Each network computes its logits of each image set at most once. `bits` is the information in
    the teacher's responses: log2 k bits for a label of k classes, 32 for each number.
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
        return self._query(self.teacher, self.batch.x)

    @cached_property
    def teacher_adversarial(self) -> Logits:
        """t(x')."""
        return self._query(self.teacher, self.adversarial)

    @cached_property
    def natural_adversarial(self) -> Logits:
        """n(x')."""
        assert self.natural is not None
        return self._query(self.natural, self.adversarial)

    def divergence(self, p: Logits, q: Logits) -> Values:
        """T² KL(p ‖ q), divided by the number of classes with `mean`."""
        temperature = self.terms.temperature
        return temperature**2 * kl(p, q, temperature) / self._divisor(p)

    @property
    def own_divergence(self) -> Values:
        """KL(f(x) ‖ f(x')), of the student alone: at temperature 1, as in the code of iad."""
        own = kl(self.student_clean, self.student_adversarial)
        return own / self._divisor(self.student_clean)

    def _divisor(self, logits: Logits) -> int:
        return logits.shape[1] if self.terms.mean else 1

    @cached_property
    def trust(self) -> Values:
        """A: the teacher's probability of the true class at x', to the power of beta."""
        right = self.teacher_adversarial.softmax(1).gather(1, self.batch.y[:, None]).squeeze(1)
        return right**self.terms.beta

    @torch.no_grad()
    def _query(self, net: Net, x: Images) -> Logits:
        logits: Logits = net(x)
        self.bits += FLOAT_BITS * logits.numel()
        return logits


def ard(step: DistillationStep) -> Values:
    """Adversarially robust distillation."""
    alpha = step.terms.alpha
    loss = alpha * step.divergence(step.teacher_clean, step.student_adversarial)
    if alpha < 1:
        loss = loss + (1 - alpha) * cross_entropy(step.student_clean, step.batch.y)
    return loss


def rslad(step: DistillationStep) -> Values:
    """Robust soft label adversarial distillation."""
    alpha, teacher = step.terms.alpha, step.teacher_clean
    at_adversarial = step.divergence(teacher, step.student_adversarial)
    return alpha * at_adversarial + (1 - alpha) * step.divergence(teacher, step.student_clean)


def iad1(step: DistillationStep) -> Values:
    """Introspective adversarial distillation; as in its code, A weights the second term only."""
    alpha = step.terms.alpha
    loss = ard(step)
    if step.terms.beta:
        loss = loss + alpha * (1 - step.trust) * step.own_divergence
    return loss


def iad2(step: DistillationStep) -> Values:
    """Introspective adversarial distillation with two teachers."""
    terms, at_adversarial = step.terms, step.student_adversarial
    distilled = step.trust * step.divergence(step.teacher_adversarial, at_adversarial)
    if terms.beta:
        own = terms.temperature**2 * step.own_divergence
        distilled = distilled + (1 - step.trust) * own
    natural = step.divergence(step.natural_adversarial, at_adversarial)
    supervised = cross_entropy(at_adversarial, step.batch.y)
    rest = 1 - terms.alpha - terms.gamma
    return terms.alpha * distilled + terms.gamma * natural + rest * supervised


def adaad(step: DistillationStep) -> Values:
    """Adaptive adversarial distillation."""
    alpha = step.terms.alpha
    loss = alpha * step.divergence(step.teacher_adversarial, step.student_adversarial)
    if alpha < 1:
        at_clean = step.divergence(step.teacher_clean, step.student_clean)
        loss = loss + (1 - alpha) * at_clean
    return loss


ALPHA = {"ard": 1.0, "rslad": 5 / 6, "iad1": 1.0, "iad2": 0.5, "adaad": 1.0, "active": 1.0}
"""The weight of the teacher in each paper's code."""

BEGIN = {"iad1": 60 / 200, "iad2": 40 / 200}
"""The share of the epochs, from the first, in which A is 1, in the paper's code."""

"""Queries to a teacher, its answers, and how a student learns from them."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .shapes import Indices, Logits, Model, Points, Values, at

Response = Literal["labels", "soft", "gradients"]
FLOAT_BITS = 32


def price(response: Response, classes: int, d: int) -> float:
    """The bits of an answer: log2 k for a label; 32 for each number, of k probabilities k − 1."""
    if response == "labels":
        return math.log2(classes)
    return FLOAT_BITS * (classes - 1 + (d if response == "gradients" else 0))


@dataclass
class Answers:
    """The answers of a teacher at the points (s, n, d): logits, and for `gradients` those of the
    difference of its two largest logits, whose classes are `pair` (s, n, 2)."""

    points: Points
    logits: Logits
    pair: Tensor
    slopes: Points | None

    def and_also(self, more: "Answers") -> "Answers":
        """Both."""
        slopes = None
        if self.slopes is not None and more.slopes is not None:
            slopes = torch.cat([self.slopes, more.slopes], 1)
        points = torch.cat([self.points, more.points], 1)
        logits = torch.cat([self.logits, more.logits], 1)
        return Answers(points, logits, torch.cat([self.pair, more.pair], 1), slopes)

    def select(self, indices: Indices) -> "Answers":
        """Those at `indices` (s, m)."""
        slopes = None if self.slopes is None else at(self.slopes, indices)
        points, logits = at(self.points, indices), at(self.logits, indices)
        return Answers(points, logits, at(self.pair, indices), slopes)


def query_teacher(teacher: Model, points: Points, response: Response) -> Answers:
    """The answers at each of the points."""
    points = points.detach().requires_grad_(response == "gradients")
    logits = teacher(points)
    pair = logits.topk(2, dim=-1).indices
    slopes = None
    if response == "gradients":
        (slopes,) = torch.autograd.grad(_lead(logits, pair).sum(), points)
    return Answers(points.detach(), logits.detach(), pair, slopes)


def answer_loss(student: Model, answers: Answers, response: Response) -> Values:
    """The student's loss at each answer, (s, n).

    Cross-entropy with the label or the prediction; for `gradients` also the squared error of its
    own gradient, relative to the mean square of the teacher's.
    """
    wanted = response == "gradients"
    points = answers.points.requires_grad_(wanted)
    logits = student(points)
    if response == "labels":
        labels = answers.logits.argmax(-1)
        return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    loss = -(answers.logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
    if answers.slopes is None:
        return loss
    (own,) = torch.autograd.grad(_lead(logits, answers.pair).sum(), points, create_graph=True)
    error = (own - answers.slopes).square().sum(-1)
    return loss + error / answers.slopes.square().sum(-1).mean(1, keepdim=True)


def _lead(logits: Logits, pair: Tensor) -> Values:
    chosen = logits.gather(-1, pair)
    return chosen[..., 0] - chosen[..., 1]

"""How students learn: from labelled data, adversarially or not, and from a teacher's answers."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .answers import Answers, Response, answer_loss, price, query_teacher
from .balls import Ball, ascend
from .shapes import Labels, Model, Points, Values, at

Place = Literal["nowhere", "data", "ball", "adversarial", "uncertain"]
CANDIDATES = 4
"""Adversarial examples from which `uncertain` takes the one that is least certain."""


@dataclass(frozen=True)
class Arm:
    """A way to learn.

    `place` is where the teacher is queried: at data points, at random points of their balls, at the
    student's adversarial examples, or at those of them about which the student is least certain.
    With `copies` the data are learned adversarially: the label of x is copied to x'. What else was
    tried: `longer` multiplies the steps, `reach` the radius in which a student looks for its own
    adversarial examples, `sharper` the logits of the answers.
    """

    name: str
    place: Place = "nowhere"
    response: Response = "labels"
    copies: bool = False
    longer: int = 1
    reach: float = 1.0
    sharper: float = 1.0


@dataclass(frozen=True)
class Course:
    """How long and how fast: Adam with a cosine schedule. Queries come in equal parts, in `rounds`
    from the tenth to the sixth tenth of the steps."""

    ball: Ball
    steps: int
    lr: float
    batch: int = 128
    rounds: int = 8
    pgd: int = 5

    def due(self, step: int, queries: int) -> int:
        """How many queries there should have been by this step."""
        for_each = 0.5 / max(self.rounds - 1, 1)
        began = sum(step >= int(self.steps * (0.1 + for_each * i)) for i in range(self.rounds))
        return queries * began // self.rounds


@dataclass
class Cohort:
    """s students before one teacher, with their data and all answers so far."""

    students: nn.Module
    teacher: Model
    x: Points
    y: Labels
    arm: Arm
    course: Course
    generator: torch.Generator
    answers: Answers | None = None

    @property
    def queried(self) -> int:
        """The queries of each student so far."""
        return 0 if self.answers is None else self.answers.points.shape[1]

    def query(self, n: int) -> None:
        """Query the teacher at n more points for each student."""
        answers = query_teacher(self.teacher, self.points(n), self.arm.response)
        answers.logits = answers.logits * self.arm.sharper
        self.answers = answers if self.answers is None else self.answers.and_also(answers)

    def points(self, n: int) -> Points:
        """The points of the next n queries."""
        if self.arm.place == "data":
            return self.x[:, self.queried : self.queried + n]
        several = CANDIDATES if self.arm.place == "uncertain" else 1
        chosen = self.drawn(self.x.shape[1], several * n)
        x, y = at(self.x, chosen), at(self.y, chosen)
        if self.arm.place == "ball":
            return self.course.ball.random(x, self.generator)
        found = self.adversarial(x, y, 2 * self.course.pgd)
        if self.arm.place == "adversarial":
            return found
        with torch.no_grad():
            top = self.students(found).softmax(-1).topk(2, dim=-1).values
        return at(found, (top[..., 0] - top[..., 1]).topk(n, dim=1, largest=False).indices)

    def drawn(self, n: int, count: int) -> Tensor:
        """`count` indices below n for each student: no repetition before all were drawn."""
        s, rounds = len(self.x), -(-count // n)
        orders = [torch.rand(s, n, generator=self.generator).argsort(1) for _ in range(rounds)]
        return torch.cat(orders, 1)[:, :count]

    def adversarial(self, x: Points, y: Labels, steps: int) -> Points:
        """x' that raises the cross-entropy of the label of x."""

        def objective(points: Tensor) -> Values:
            return cross_entropy(self.students(points), y)

        return ascend(objective, x, self.course.ball, steps=steps, generator=self.generator)

    def loss(self) -> Tensor:
        """The sum over students of the mean loss on data plus the mean loss on answers."""
        chosen = self.drawn(self.x.shape[1], min(self.course.batch, self.x.shape[1]))
        x, y = at(self.x, chosen), at(self.y, chosen)
        if self.arm.copies:
            x = self.adversarial(x, y, self.course.pgd)
        loss = cross_entropy(self.students(x), y).mean(1).sum()
        if self.answers is None:
            return loss
        some = self.answers.select(self.drawn(self.queried, min(self.course.batch, self.queried)))
        return loss + answer_loss(self.students, some, self.arm.response).mean(1).sum()


def cross_entropy(logits: Tensor, y: Labels) -> Values:
    """−log softmax(z)_y, (s, n)."""
    return F.cross_entropy(logits.transpose(1, 2), y, reduction="none")


def learn(cohort: Cohort, queries: int) -> float:
    """Train the students with `queries` queries each. Returns the bits of the answers."""
    course = cohort.course
    if cohort.arm.place == "data":
        queries = min(queries, cohort.x.shape[1])
    optimiser = torch.optim.Adam(cohort.students.parameters(), course.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, course.steps)
    for step in range(course.steps):
        missing = course.due(step, queries) - cohort.queried
        if missing > 0:
            cohort.query(missing)
        optimiser.zero_grad()
        cohort.loss().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    if cohort.answers is None:
        return 0.0
    classes, d = cohort.answers.logits.shape[-1], cohort.x.shape[-1]
    return cohort.queried * price(cohort.arm.response, classes, d)

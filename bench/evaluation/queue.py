"""The data of the engine: examples, the queue of a stage, and the verdicts of a column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from bench.evaluation.suites import Stage
from bench.threats import Threat

Array = NDArray[Any]
State = dict[str, Tensor]

Alarm = tuple[int, float]
"""The number of a stage, and the share of the examples it attacked above which breaking them raises
an alarm."""

PRUNED, CREDIT = -2, -3
"""Values of `Column.by`: not attacked, because another threat broke the example; broken by an
adversarial example of another threat."""


@dataclass(frozen=True)
class Examples:
    """The attacked examples: images (n, c, h, w) as uint8 or float32, labels (n,), their numbers in
    the data set, and their wrong classes (n, r) by decreasing clean logit."""

    images: Tensor
    labels: Int[Tensor, " n"]
    numbers: Int[Tensor, " n"]
    target_classes: Int[Tensor, "n r"]

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Array) -> "Examples":
        """Some of the examples, by position."""
        chosen = torch.from_numpy(rows)
        parts = (self.images, self.labels, self.numbers, self.target_classes)
        return Examples(*(part[chosen] for part in parts))

    def floats(self, rows: Int[Tensor, " m"], device: torch.device) -> Float[Tensor, "m c h w"]:
        """Images of some rows, float32 in [0, 1]."""
        images = self.images[rows].to(device)
        return images.float() / 255 if images.dtype == torch.uint8 else images.contiguous()


def wrong_classes(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], most: int
) -> Int[Tensor, "n r"]:
    """The wrong classes with the largest logits, at most so many, in decreasing order."""
    ranked = logits.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)
    return ranked[:, : min(most, logits.shape[1] - 1)]


@dataclass
class Column:
    """The verdicts under one threat and suite: arrays (n,), and the adversarial examples found.

    `robust` is true while no attack has broken the example; `by` is the number of the stage that
    broke it, `step` the attack's step and `distance` the perturbation's norm (float64), all
    meaningless while robust; `forward` and `backward` count passes through the model. `found`
    (n, c, h, w) may be a memory-mapped file. `run` has the numbers of the stages that attacked any
    example.
    """

    robust: Array
    by: Array
    step: Array
    distance: Array
    forward: Array
    backward: Array
    seconds: Array
    run: Array
    found: Array

    @classmethod
    def of(cls, robust: Array, found: Array) -> "Column":
        """A new column whose robust examples are those flagged in `robust`."""
        n = len(robust)
        count = np.zeros(n, np.int64)
        return cls(
            robust=robust.copy(),
            by=np.full(n, -1, np.int16),
            step=count.astype(np.int32),
            distance=np.full(n, np.nan),
            forward=count,
            backward=count.copy(),
            seconds=np.zeros(1),
            run=np.zeros(0, np.int16),
            found=found,
        )

    @property
    def kept(self) -> Array:
        """Flags (n,): an adversarial example was found, and lies in `found`."""
        flags: Array = (self.by >= 0) | (self.by == CREDIT)
        return flags

    def broken(self, row: int, by: int, step: int, distance: float, point: Array) -> None:
        """Store the adversarial example of a row."""
        self.robust[row] = False
        self.by[row], self.step[row], self.distance[row] = by, step, distance
        self.found[row] = point

    def spare(self, rows: Array) -> None:
        """Rows whose adversarial examples are none are robust again."""
        self.robust[rows], self.by[rows], self.found[rows] = True, -1, 0.0

    def alarmed(self, number: int, share: float) -> bool:
        """Whether a stage raised an alarm: it broke more than a share of the examples that were
        robust before it."""
        broken = int((self.by == number).sum())
        return broken > share * int((self.robust | (self.by >= number)).sum())

    def prune(self, robust_elsewhere: Array) -> None:
        """Leave out the examples that are not robust under another threat."""
        self.by[self.robust & ~robust_elsewhere] = PRUNED
        self.robust &= robust_elsewhere

    def arrays(self) -> dict[str, Array]:
        """Every array except the adversarial examples, by name."""
        return {name: value for name, value in vars(self).items() if name != "found"}


def states(columns: Sequence[Column]) -> State:
    """Every array of some columns, except the adversarial examples, as tensors by name."""
    return {
        f"column{number}.{name}": torch.from_numpy(value)
        for number, column in enumerate(columns)
        for name, value in column.arrays().items()
    }


def restore(columns: Sequence[Column], state: State) -> None:
    """The inverse of `states`."""
    for number, column in enumerate(columns):
        for name, value in under(f"column{number}", state).items():
            setattr(column, name, value.numpy())


def under(prefix: str, state: State) -> State:
    """The tensors whose names begin with a prefix and a dot, without it."""
    return {n.removeprefix(f"{prefix}."): v for n, v in state.items() if n.startswith(f"{prefix}.")}


@dataclass
class Queue:
    """The pieces of one stage in order: the first attempt on every example comes before the second
    on any. An attempt is one restart against one target class."""

    rows: Array
    targets: Array
    attempts: Array
    position: int = 0

    @classmethod
    def of(cls, stage: Stage, examples: Examples, robust: Array) -> "Queue":
        """All pieces of a stage over the examples of `robust`. The target of an untargeted stage is
        the class with the largest wrong logit, because a targeted attack may be given alone."""
        rows = np.flatnonzero(robust)
        rounds = max(1, min(stage.targets, examples.target_classes.shape[1])) * stage.restarts
        attempt = np.repeat(np.arange(rounds), len(rows))
        rows = np.tile(rows, rounds)
        targets = examples.target_classes.numpy()[rows, attempt // stage.restarts]
        return cls(rows, targets, attempt)

    def take(self, count: int, robust: Array) -> Array:
        """The next pieces, at most `count`, of examples that are still robust."""
        taken: list[int] = []
        while len(taken) < count and self.position < len(self.rows):
            if robust[self.rows[self.position]]:
                taken.append(self.position)
            self.position += 1
        return np.array(taken, np.int64)


@dataclass(frozen=True)
class Job:
    """One stage of one column's suite. With `prune`, examples that are broken in another column are
    left out; with `alarms`, it runs only if one of them was raised."""

    column: int
    number: int
    stage: Stage
    threat: Threat
    prune: bool = False
    alarms: tuple[Alarm, ...] | None = None

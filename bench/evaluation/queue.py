"""What there is to do and what is known: examples, the pieces of a pass, a column of verdicts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from bench.evaluation.suites import Pass
from bench.threats import Threat

Array = NDArray[Any]
State = dict[str, Tensor]

Alarm = tuple[int, float]
"""A pass's number, and the share of the standing examples beyond which its breaks are alarming."""

PRUNED, CREDIT = -2, -3
"""In `Column.by`: not attacked, because another threat broke it; broken by another threat's
adversarial example."""


@dataclass(frozen=True)
class Examples:
    """What is attacked: images (n, c, h, w) as uint8 or float32, labels (n,), their numbers in the
    data set, and for each the wrong classes in the order of the clean logits (n, r)."""

    images: Tensor
    labels: Int[Tensor, " n"]
    numbers: Int[Tensor, " n"]
    target_classes: Int[Tensor, "n r"]

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Array) -> "Examples":
        """Some of the examples, by their places here."""
        chosen = torch.from_numpy(rows)
        parts = (self.images, self.labels, self.numbers, self.target_classes)
        return Examples(*(part[chosen] for part in parts))

    def floats(self, rows: Int[Tensor, " m"], device: torch.device) -> Float[Tensor, "m c h w"]:
        """Images of some rows, float32 in [0, 1]."""
        images = self.images[rows].to(device)
        return images.float() / 255 if images.dtype == torch.uint8 else images.contiguous()


@dataclass
class Column:
    """What is known of each example under one threat and suite: arrays (n,), and the adversarial
    examples found.

    `robust` is true while nothing has broken the example; `by` is the number of the pass that did,
    `step` its step and `distance` the perturbation's norm (float64), all meaningless while robust;
    `forward` and `backward` count images sent through the model. `found` (n, c, h, w) may lie on
    disk. `run` are the numbers of the passes that had something to attack.
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
        """A column in which the examples of `robust` are still to be attacked."""
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

    def broken(self, row: int, by: int, step: int, distance: float, point: Array) -> None:
        """Write down the adversarial example of a row."""
        self.robust[row] = False
        self.by[row], self.step[row], self.distance[row] = by, step, distance
        self.found[row] = point

    def fell(self, number: int, share: float) -> bool:
        """Whether a pass broke more than a share of the examples that it found standing."""
        broken = int((self.by == number).sum())
        return broken > share * int((self.robust | (self.by >= number)).sum())

    def prune(self, standing: Array) -> None:
        """Leave out the examples that don't stand elsewhere."""
        self.by[self.robust & ~standing] = PRUNED
        self.robust &= standing

    def arrays(self) -> dict[str, Array]:
        """Everything but the adversarial examples, by name."""
        return {name: value for name, value in vars(self).items() if name != "found"}

    def restore(self, saved: dict[str, Array]) -> None:
        """Put back what `arrays` gave."""
        for name, value in saved.items():
            setattr(self, name, value)


@dataclass
class Queue:
    """The pieces of one pass in their order: every example's first target before any example's
    second."""

    rows: Array
    targets: Array
    turns: Array
    position: int = 0

    @classmethod
    def of(cls, work: Pass, examples: Examples, robust: Array) -> "Queue":
        """All pieces of a pass over the examples of `robust`."""
        rows = np.flatnonzero(robust)
        rounds = max(1, min(work.targets, examples.target_classes.shape[1])) * work.restarts
        turn = np.repeat(np.arange(rounds), len(rows))
        rows = np.tile(rows, rounds)
        targets = turn // work.restarts
        aim = (
            examples.target_classes.numpy()[rows, targets]
            if work.targets
            else examples.labels.numpy()[rows]
        )
        return cls(rows, aim, turn)

    def take(self, count: int, robust: Array) -> Array:
        """The next pieces, at most `count`, of examples that still stand."""
        taken: list[int] = []
        while len(taken) < count and self.position < len(self.rows):
            if robust[self.rows[self.position]]:
                taken.append(self.position)
            self.position += 1
        return np.array(taken, np.int64)


@dataclass(frozen=True)
class Job:
    """One pass of one column's suite. With `prune`, examples that any other column has lost are
    left out; with `alarms`, it is run only if one of them is raised."""

    column: int
    number: int
    work: Pass
    threat: Threat
    prune: bool = False
    alarms: tuple[Alarm, ...] | None = None

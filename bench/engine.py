"""The engine: runs a suite over any number of examples with full batches, and can be stopped at any
instant.

Work is a queue of (example, target, restart). A fixed number of slots take pieces of it; at every
step all slots ask the model in one batch, and a slot that found its adversarial example, or came to
its end, takes the next piece at once. Pieces of examples that are already broken are dropped
unseen. Since randomness belongs to the piece and not to the batch, neither the number of slots nor
a stop and restart changes what an example is attacked with.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from bench import streams
from bench.attacks.base import Slots
from bench.judge import Judge
from bench.precision import Proposer
from bench.suites import Pass
from bench.threats import Threat

Array = NDArray[Any]
State = dict[str, Tensor]

SAVE_EVERY = 20.0

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
    rivals: Int[Tensor, "n r"]

    def __len__(self) -> int:
        return len(self.labels)

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
    disk.
    """

    robust: Array
    by: Array
    step: Array
    distance: Array
    forward: Array
    backward: Array
    seconds: Array
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
            found=found,
        )

    def broken(self, row: int, by: int, step: int, distance: float, point: Array) -> None:
        """Write down the adversarial example of a row."""
        self.robust[row] = False
        self.by[row], self.step[row], self.distance[row] = by, step, distance
        self.found[row] = point

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
        rounds = max(1, min(work.targets, examples.rivals.shape[1])) * work.restarts
        turn = np.repeat(np.arange(rounds), len(rows))
        rows = np.tile(rows, rounds)
        targets = turn // work.restarts
        aim = (
            examples.rivals.numpy()[rows, targets]
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
    left out."""

    column: int
    number: int
    work: Pass
    threat: Threat
    prune: bool = False
    alarms: tuple[int, ...] | None = None


@dataclass
class Engine:
    """Runs jobs one after another.

    `propose` gives the fast model for a pass; `capacity` is the number of slots; `save` is called
    after each job, and about every `SAVE_EVERY` seconds within one, with all that a resumption
    needs, as tensors by name.
    """

    propose: Callable[[Pass], Proposer]
    judge: Judge
    device: torch.device
    seed: int
    capacity: int
    save: Callable[[State], None]
    progress: Callable[[int, int, Job], None]

    def run(
        self, jobs: Sequence[Job], examples: Examples, columns: Sequence[Column], resumed: State
    ) -> None:
        """Run all jobs, or those that a resumed state (empty for none) leaves; breaks are written
        into the columns."""
        first = int(resumed.get("job", torch.tensor(0)))
        for column, saved in zip(columns, _columns(resumed, len(columns)), strict=True):
            column.restore(saved)
        for number, job in enumerate(jobs[first:], first):
            begun = under("pass", resumed)
            chosen = begun["chosen"].numpy() if begun else self.choose(job, examples, columns)
            for state in self._pass(job, examples, columns[job.column], chosen, begun):
                self._save(number, columns, state)
            resumed = {}
            self._save(number + 1, columns, {})

    def choose(self, job: Job, examples: Examples, columns: Sequence[Column]) -> Array:
        """Flags (n,) of the examples that a job is to attack: all that stand, as many as it
        samples, or none while nothing gave the alarm."""
        column = columns[job.column]
        if job.alarms is not None and not np.isin(column.by, job.alarms).any():
            return np.zeros_like(column.robust)
        if job.prune:
            column.prune(np.logical_and.reduce([other.robust for other in columns]))
        standing = column.robust.copy()
        if job.work.sample is None:
            return standing
        lots = streams.keys(self.seed, examples.numbers, job.work.attack.name).numpy()
        order = np.argsort(np.where(standing, lots, np.iinfo(np.int64).max), kind="stable")
        drawn = np.zeros_like(standing)
        drawn[order[: job.work.sample]] = True
        return standing & drawn

    def _save(self, job: int, columns: Sequence[Column], state: State) -> None:
        everything = {f"pass.{name}": value for name, value in state.items()}
        for number, column in enumerate(columns):
            everything |= {
                f"column{number}.{n}": torch.from_numpy(v) for n, v in column.arrays().items()
            }
        self.save(everything | {"job": torch.tensor(job)})

    def _pass(
        self, job: Job, examples: Examples, column: Column, chosen: Array, resumed: State
    ) -> Iterator[State]:
        """Run one job on the chosen examples; now and then yield what is needed to go on from
        there."""
        proposer = self.propose(job.work)
        queue = Queue.of(job.work, examples, chosen)
        pieces, slots = np.empty(0, np.int64), None
        if resumed:
            queue.position, pieces = int(resumed["position"]), resumed["pieces"].numpy()
            slots = Slots.from_tensors(under("slots", resumed)).map(lambda v: v.to(self.device))
        saved = clock = time.monotonic()
        while True:
            fresh = queue.take(self.capacity - len(pieces), column.robust)
            if len(fresh):
                new = job.work.attack.start(self._fresh(fresh, queue, examples, job), job.threat)
                slots = new if slots is None or not len(slots) else slots.join(new)
                pieces = np.concatenate([pieces, fresh])
            if slots is None or not len(pieces):
                return
            slots, keep = self._step(job, proposer, slots, queue.rows[pieces], column)
            pieces = pieces[keep]
            now = time.monotonic()
            column.seconds += now - clock
            clock = now
            self.progress(queue.position - len(pieces), len(queue.rows), job)
            if now - saved > SAVE_EVERY:
                state = {f"slots.{name}": value.cpu() for name, value in slots.tensors().items()}
                state["chosen"], state["pieces"] = map(torch.from_numpy, (chosen, pieces))
                yield state | {"position": torch.tensor(queue.position)}
                saved = time.monotonic()

    def _fresh(self, fresh: Array, queue: Queue, examples: Examples, job: Job) -> Slots:
        rows = torch.from_numpy(queue.rows[fresh])
        key = streams.keys(self.seed, examples.numbers[rows], job.work.attack.name)
        key = streams.fold(key, torch.from_numpy(queue.turns[fresh]))
        return Slots.fresh(
            examples.floats(rows, self.device),
            examples.labels[rows].to(self.device),
            torch.from_numpy(queue.targets[fresh]).to(self.device),
            key.to(self.device),
        )

    def _step(
        self, job: Job, proposer: Proposer, slots: Slots, rows: Array, column: Column
    ) -> tuple[Slots, Array]:
        """One question to the model, one step of the attack, and the judge's word on what may be a
        find."""
        attack = job.work.attack
        answer = proposer.ask(attack, slots)
        np.add.at(column.forward, rows, proposer.repeats)
        if attack.needs_gradient:
            np.add.at(column.backward, rows, proposer.repeats)
        moved = attack.step(slots, answer, job.threat)
        claimed = (answer.logits.argmax(1) != slots.y) | ~answer.logits.isfinite().all(1)
        claim, done = torch.stack([claimed, moved.done]).cpu().numpy()
        self._examine(job, slots, np.flatnonzero(claim), rows, column)
        self._examine(job, moved, np.flatnonzero(done), rows, column)
        keep = ~done & column.robust[rows]
        if keep.all():
            return moved, keep
        chosen = torch.from_numpy(np.flatnonzero(keep)).to(self.device)
        return moved.rows(chosen), keep

    def _examine(self, job: Job, slots: Slots, which: Array, rows: Array, column: Column) -> None:
        """Let the judge look at some slots' points and write the breaks into the column."""
        which = which[column.robust[rows[which]]]
        if not len(which):
            return
        chosen = torch.from_numpy(which).to(self.device)
        x, points, y = slots.x[chosen], slots.point[chosen], slots.y[chosen]
        bounded = job.work.attack.bounded
        broken, far = self.judge.adversarial(x, points, y, job.threat, bounded=bounded)
        np.add.at(column.forward, rows[which], self.judge.votes)
        for place in torch.nonzero(broken).flatten().tolist():
            row = int(rows[which[place]])
            if column.robust[row]:
                step, distance = int(slots.t[which[place]]), float(far[place])
                column.broken(row, job.number, step, distance, points[place].cpu().numpy())


def under(prefix: str, state: State) -> State:
    """The tensors whose names begin with a prefix and a dot, without it."""
    return {n.removeprefix(f"{prefix}."): v for n, v in state.items() if n.startswith(f"{prefix}.")}


def _columns(state: State, count: int) -> list[dict[str, Array]]:
    parts = (under(f"column{number}", state) for number in range(count))
    return [{name: value.numpy() for name, value in part.items()} for part in parts]

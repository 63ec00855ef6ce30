"""The engine: runs a suite over any number of examples with full batches, and can be killed and
resumed at any time.

The work is a queue of pieces (example, target, restart). A fixed number of slots process them; at
each step all slots query the model in one batch, and a slot that found an adversarial example, or
whose attack ended, takes the next piece. Pieces of examples that are already broken are skipped.
Random numbers are keyed by the piece and not by the batch, so that neither the number of slots nor
a resumption changes how an example is attacked.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.attacks.base import Attack, Slots
from bench.attacks.external import Counted, ExternalAttack
from bench.compute import random_streams
from bench.evaluation.judge import CLEAR, VOTES, Judge, allowed
from bench.evaluation.proposer import Proposer
from bench.evaluation.queue import Array, Column, Examples, Job, Queue, State
from bench.evaluation.suites import Stage
from bench.losses import margin
from bench.threats.geometry import Batch

SAVE_EVERY = 20.0
NEAR = 0.05
"""In shares of the logits' spread: several times the largest change of a margin by bf16 that was
observed."""


@dataclass
class Engine:
    """Runs jobs one after another.

    `propose` returns the fast model for a stage; `capacity` is the number of slots; `save` is
    called after each job, and about every `SAVE_EVERY` seconds within one, with all that is needed
    to resume, as tensors by name.
    """

    propose: Callable[[Stage], Proposer]
    judge: Judge
    device: torch.device
    seed: int
    capacity: int
    save: Callable[[State], None]
    progress: Callable[[int, int, Job], None]

    def run(
        self, jobs: Sequence[Job], examples: Examples, columns: Sequence[Column], resumed: State
    ) -> None:
        """Run all jobs, or the remaining ones of a resumed state (empty for none), and write the
        results into the columns."""
        random = self.judge.votes > 1
        with random_streams.seeded(self.seed, self.device) if random else nullcontext():
            self._run(jobs, examples, columns, resumed)

    def _run(
        self, jobs: Sequence[Job], examples: Examples, columns: Sequence[Column], resumed: State
    ) -> None:
        first = int(resumed.get("job", torch.tensor(0)))
        for column, saved in zip(columns, _columns(resumed, len(columns)), strict=True):
            column.restore(saved)
        for number, job in enumerate(jobs[first:], first):
            begun = under("stage", resumed)
            chosen = begun["chosen"].numpy() if begun else self.choose(job, examples, columns)
            for state in self._stage(job, examples, columns[job.column], chosen, begun):
                self._save(number, columns, state)
            if self.judge.votes > 1:
                self._review(job, examples, columns[job.column])
            resumed = {}
            self._save(number + 1, columns, {})

    def choose(self, job: Job, examples: Examples, columns: Sequence[Column]) -> Array:
        """Flags (n,) of the examples that a job attacks: all that are still robust, or a sample of
        them, or none if the job waits for an alarm that was not raised. The column records that the
        job ran."""
        column = columns[job.column]
        if job.alarms is not None and not any(column.alarmed(*alarm) for alarm in job.alarms):
            return np.zeros_like(column.robust)
        if job.prune:
            column.prune(np.logical_and.reduce([other.robust for other in columns]))
        robust = column.robust.copy()
        if robust.any():
            column.run = np.append(column.run, np.int16(job.number))
        if job.work.sample is None:
            return robust
        keys = random_streams.keys(self.seed, examples.numbers, job.work.attack.name).numpy()
        order = np.argsort(np.where(robust, keys, np.iinfo(np.int64).max), kind="stable")
        drawn = np.zeros_like(robust)
        drawn[order[: job.work.sample]] = True
        return robust & drawn

    def _save(self, job: int, columns: Sequence[Column], state: State) -> None:
        everything = {f"stage.{name}": value for name, value in state.items()}
        for number, column in enumerate(columns):
            everything |= {
                f"column{number}.{n}": torch.from_numpy(v) for n, v in column.arrays().items()
            }
        self.save(everything | {"job": torch.tensor(job)})

    def _stage(
        self, job: Job, examples: Examples, column: Column, chosen: Array, resumed: State
    ) -> Iterator[State]:
        """Run one job on the chosen examples; from time to time yield the state that a resumption
        needs."""
        if isinstance(job.work.attack, ExternalAttack):
            yield from self._external(job, job.work.attack, examples, column, chosen)
            return
        attack, proposer = job.work.attack, self.propose(job.work)
        queue = Queue.of(job.work, examples, chosen)
        pieces, slots = np.empty(0, np.int64), None
        if resumed:
            queue.position, pieces = int(resumed["position"]), resumed["pieces"].numpy()
            slots = Slots.from_tensors(under("slots", resumed)).map(lambda v: v.to(self.device))
        saved = clock = time.monotonic()
        while True:
            fresh = queue.take(self.capacity - len(pieces), column.robust)
            if len(fresh):
                new = attack.start(self._fresh(fresh, queue, examples, job), job.threat)
                slots = new if slots is None or not len(slots) else slots.join(new)
                pieces = np.concatenate([pieces, fresh])
            if slots is None or not len(pieces):
                return
            rows = queue.rows[pieces]
            slots, keep = self._step(job, attack, proposer, slots, rows, examples, column)
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

    def _external(
        self, job: Job, attack: ExternalAttack, examples: Examples, column: Column, chosen: Array
    ) -> Iterator[State]:
        """Run an external attack batch by batch; from time to time yield the examples that are
        left."""
        left, rows = chosen.copy(), np.flatnonzero(chosen)
        saved = time.monotonic()
        for first in range(0, len(rows), self.capacity):
            began, batch = time.monotonic(), rows[first : first + self.capacity]
            counted = Counted(self.judge.model).eval()
            x, y = self._originals(batch, examples)
            points = attack.points(counted, x, y, job.threat, self.seed)
            counted.eval()  # whatever mode the attack left the model in
            broken, far = self.judge.adversarial(x, points, y, job.threat, bounded=attack.bounded)
            column.forward[batch] += counted.forwards // len(batch) + self.judge.votes
            column.backward[batch] += counted.backwards // len(batch)
            broken = self._confirmed(broken, points, y, batch, column)
            for place in torch.nonzero(broken).flatten().tolist():
                point = points[place].cpu().numpy()
                column.broken(int(batch[place]), job.number, 0, float(far[place]), point)
            left[batch] = False
            now = time.monotonic()
            column.seconds += now - began
            self.progress(first + len(batch), len(rows), job)
            if now - saved > SAVE_EVERY:
                yield {"chosen": torch.from_numpy(left.copy())}
                saved = now

    def _originals(self, rows: Array, examples: Examples) -> tuple[Tensor, Tensor]:
        """Images (n, c, h, w) and labels (n,) that no attack can have changed."""
        chosen = torch.from_numpy(rows)
        return examples.floats(chosen, self.device), examples.labels[chosen].to(self.device)

    def _fresh(self, fresh: Array, queue: Queue, examples: Examples, job: Job) -> Slots:
        rows = queue.rows[fresh]
        x, y = self._originals(rows, examples)
        key = random_streams.keys(self.seed, examples.numbers[rows], job.work.attack.name)
        key = random_streams.fold(key, torch.from_numpy(queue.attempts[fresh]))
        target = torch.from_numpy(queue.targets[fresh])
        return Slots.fresh(x, y, target.to(self.device), key.to(self.device))

    def _step(
        self,
        job: Job,
        attack: Attack,
        proposer: Proposer,
        slots: Slots,
        rows: Array,
        examples: Examples,
        column: Column,
    ) -> tuple[Slots, Array]:
        """Query the model, take one step of the attack, and let the judge verify candidates."""
        response = proposer.query(attack, slots)
        np.add.at(column.forward, rows, proposer.repeats)
        if attack.needs_gradient:
            np.add.at(column.backward, rows, proposer.repeats)
        moved = attack.step(slots, response, job.threat)
        claim, done = torch.stack([claimed(response.logits, slots.y), moved.done]).cpu().numpy()
        self._judge(job, slots, np.flatnonzero(claim), rows, examples, column)
        ended = np.flatnonzero(done & column.robust[rows])
        near = self._near_boundary(proposer, moved, ended, rows, column)
        self._judge(job, moved, near, rows, examples, column)
        keep = ~done & column.robust[rows]
        if keep.all():
            return moved, keep
        chosen = torch.from_numpy(np.flatnonzero(keep)).to(self.device)
        return moved.rows(chosen), keep

    def _near_boundary(
        self, proposer: Proposer, slots: Slots, ended: Array, rows: Array, column: Column
    ) -> Array:
        """Of slots whose attack ended, those whose last points the judge has to classify.

        Most last points are far from any decision boundary; the proposer's logits, which cost less
        than the judge's, are enough to see that.
        """
        if self.judge.votes > 1 or not len(ended):
            return ended
        chosen = torch.from_numpy(ended).to(self.device)
        logits = proposer.logits(slots.point[chosen])
        np.add.at(column.forward, rows[ended], 1)
        near: Array = claimed(logits, slots.y[chosen], NEAR).cpu().numpy()
        return ended[near]

    def _judge(
        self,
        job: Job,
        slots: Slots,
        which: Array,
        rows: Array,
        examples: Examples,
        column: Column,
    ) -> None:
        """Let the judge classify some slots' points, and write broken examples into the column."""
        which = which[column.robust[rows[which]]]
        if not len(which):
            return
        x, y = self._originals(rows[which], examples)
        points = slots.point[torch.from_numpy(which).to(self.device)]
        bounded = job.work.attack.bounded
        broken, far = self.judge.adversarial(x, points, y, job.threat, bounded=bounded)
        inside = (far <= allowed(job.threat)).cpu().numpy()
        np.add.at(column.forward, rows[which[inside]], self.judge.votes)
        broken = self._confirmed(broken, points, y, rows[which], column)
        for place in torch.nonzero(broken).flatten().tolist():
            row = int(rows[which[place]])
            if column.robust[row]:
                step, distance = int(slots.t[which[place]]), float(far[place])
                column.broken(row, job.number, step, distance, points[place].cpu().numpy())

    def _confirmed(
        self,
        broken: Bool[Tensor, " n"],
        points: Batch,
        y: Int[Tensor, " n"],
        rows: Array,
        column: Column,
    ) -> Bool[Tensor, " n"]:
        """The broken points; of a random model those that many further passes misclassify too."""
        if self.judge.votes == 1 or not bool(broken.any()):
            return broken
        np.add.at(column.forward, rows[broken.cpu().numpy()], VOTES)
        shares = self.judge.errors(points[broken], y[broken], VOTES)
        return broken.masked_scatter(broken, shares >= CLEAR)

    def _review(self, job: Job, examples: Examples, column: Column) -> None:
        """Let fresh passes decide about what a job broke: of its many tries one may have been
        lucky."""
        rows = np.flatnonzero(~column.robust & (column.by == job.number))
        for first in range(0, len(rows), self.capacity):
            some = rows[first : first + self.capacity]
            points = torch.from_numpy(column.found[some]).to(self.device)
            _, y = self._originals(some, examples)
            right = self.judge.errors(points, y, VOTES) < 0.5
            column.forward[some] += VOTES
            column.spare(some[right.cpu().numpy()])


def claimed(
    logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], near: float = 0.0
) -> Bool[Tensor, " n"]:
    """Whether logits are misclassified, or correct by less than a share `near` of their spread;
    non-finite logits count as misclassified."""
    spread = logits.amax(1) - logits.amin(1)
    return ~(margin(logits, y) < -near * spread)


def under(prefix: str, state: State) -> State:
    """The tensors whose names begin with a prefix and a dot, without it."""
    return {n.removeprefix(f"{prefix}."): v for n, v in state.items() if n.startswith(f"{prefix}.")}


def _columns(state: State, count: int) -> list[dict[str, Array]]:
    parts = (under(f"column{number}", state) for number in range(count))
    return [{name: value.numpy() for name, value in part.items()} for part in parts]

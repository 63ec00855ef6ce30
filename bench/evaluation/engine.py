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

from bench.attacks.base import Attack, Slots
from bench.attacks.external import Counted, ExternalAttack
from bench.compute import random_streams
from bench.evaluation.judge import Judge
from bench.evaluation.loop import Loop
from bench.evaluation.proposer import Proposer
from bench.evaluation.queue import (
    Array,
    Column,
    Examples,
    Job,
    Queue,
    State,
    restore,
    states,
    under,
)
from bench.evaluation.suites import Stage
from bench.evaluation.verdicts import Verdicts

SAVE_EVERY = 20.0


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
        first = int(resumed.get("job", torch.tensor(0)))
        restore(columns, resumed)
        random = self.judge.votes > 1
        with random_streams.seeded(self.seed, self.device) if random else nullcontext():
            for number, job in enumerate(jobs[first:], first):
                self._run(number, job, examples, columns, under("stage", resumed))
                resumed = {}
                self._save(number + 1, columns, {})

    def _run(
        self, number: int, job: Job, examples: Examples, columns: Sequence[Column], begun: State
    ) -> None:
        chosen = begun["chosen"].numpy() if begun else self.choose(job, examples, columns)
        column = columns[job.column]
        verdicts = Verdicts(job, examples, column, self.judge, self.device)
        if isinstance(job.stage.attack, ExternalAttack):
            unfinished = self._external(job.stage.attack, verdicts, chosen)
        else:
            unfinished = self._stage(job.stage.attack, verdicts, chosen, begun)
        for state in unfinished:
            self._save(number, columns, state)
        if verdicts.random:
            verdicts.review(self.capacity)

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
        if job.stage.sample is None:
            return robust
        keys = random_streams.keys(self.seed, examples.numbers, job.stage.attack.name).numpy()
        order = np.argsort(np.where(robust, keys, np.iinfo(np.int64).max), kind="stable")
        drawn = np.zeros_like(robust)
        drawn[order[: job.stage.sample]] = True
        return robust & drawn

    def _save(self, job: int, columns: Sequence[Column], state: State) -> None:
        stage = {f"stage.{name}": value for name, value in state.items()}
        self.save(stage | states(columns) | {"job": torch.tensor(job)})

    def _stage(
        self, attack: Attack, verdicts: Verdicts, chosen: Array, begun: State
    ) -> Iterator[State]:
        """Run an attack on the chosen examples, from the beginning or from a resumed state; from
        time to time yield the state that a resumption needs."""
        job, column = verdicts.job, verdicts.column
        loop = Loop(attack, self.propose(job.stage), verdicts, self.seed)
        queue = Queue.of(job.stage, verdicts.examples, chosen)
        pieces, slots = np.empty(0, np.int64), None
        if begun:
            queue.position, pieces = int(begun["position"]), begun["pieces"].numpy()
            slots = Slots.from_tensors(under("slots", begun)).map(lambda v: v.to(self.device))
        saved = clock = time.monotonic()
        while True:
            fresh = queue.take(self.capacity - len(pieces), column.robust)
            if len(fresh):
                new = loop.start(fresh, queue)
                slots = new if slots is None or not len(slots) else slots.join(new)
                pieces = np.concatenate([pieces, fresh])
            if slots is None or not len(pieces):
                return
            slots, keep = loop.step(slots, queue.rows[pieces])
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
        self, attack: ExternalAttack, verdicts: Verdicts, chosen: Array
    ) -> Iterator[State]:
        """Run an external attack batch by batch; from time to time yield the examples that are
        left."""
        job, column = verdicts.job, verdicts.column
        left, rows = chosen.copy(), np.flatnonzero(chosen)
        saved = time.monotonic()
        for first in range(0, len(rows), self.capacity):
            began, batch = time.monotonic(), rows[first : first + self.capacity]
            counted = Counted(self.judge.model).eval()
            x, y = verdicts.originals(batch)
            points = attack.points(counted, x, y, job.threat, self.seed)
            counted.eval()  # whatever mode the attack left the model in
            column.forward[batch] += counted.forwards // len(batch)
            column.backward[batch] += counted.backwards // len(batch)
            verdicts.write(batch, points, np.zeros(len(batch), np.int32))
            left[batch] = False
            now = time.monotonic()
            column.seconds += now - began
            self.progress(first + len(batch), len(rows), job)
            if now - saved > SAVE_EVERY:
                yield {"chosen": torch.from_numpy(left.copy())}
                saved = now

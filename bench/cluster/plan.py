"""Which examples are attacked next: a column is a chain of stages, a stage is a set of chunks."""

from dataclasses import dataclass, field

import numpy as np
import torch

from bench.cluster.worker import Result
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.queue import Array, Column, Examples, Job, State, restore, states, under
from bench.losses import margin


@dataclass(frozen=True)
class Chunk:
    """Some rows of the examples, attacked by one job."""

    chain: int
    job: Job
    rows: Array
    examples: Examples


@dataclass
class Chain:
    """Jobs that must run one after the other. Of the current job, `left` flags the rows that are
    not finished, `waiting` lists those that no worker has yet."""

    jobs: list[Job]
    position: int = -1
    left: Array = field(default_factory=lambda: np.zeros(0, bool))
    waiting: Array = field(default_factory=lambda: np.zeros(0, np.int64))


class Plan:
    """The chunks of an evaluation in order, and the columns of their results.

    Columns don't wait for each other, unless examples broken in one are left out of the next.
    Within a stage the examples with the largest clean margins come first: they cost most, and the
    chunks at the end are cheap, so that all workers finish at about the same time.
    """

    def __init__(self, evaluation: Evaluation, columns: list[Column], resumed: State) -> None:
        self.columns = columns
        self._evaluation = evaluation
        self._engine = evaluation.attacked.engine(lambda state: None)
        self._order = np.argsort(
            margin(evaluation.logits, evaluation.examples.labels).numpy(), kind="stable"
        )
        self._chains = _chains(evaluation.jobs(), evaluation.settings.union_only)
        self.done = self.total = 0
        restore(columns, resumed)
        for number, chain in enumerate(self._chains):
            if saved := under(f"chain{number}", resumed):
                self._begin(chain, int(saved["position"]), saved["left"].numpy())
            self._advance(chain)

    @property
    def finished(self) -> bool:
        """Whether every chunk of every stage is finished."""
        return all(chain.position == len(chain.jobs) for chain in self._chains)

    def next(self, size: int) -> Chunk | None:
        """At most `size` examples to attack now; None while all stages wait for their chunks."""
        for number, chain in enumerate(self._chains):
            if len(chain.waiting):
                rows, chain.waiting = chain.waiting[:size], chain.waiting[size:]
                examples = self._evaluation.examples.at(rows)
                return Chunk(number, chain.jobs[chain.position], rows, examples)
        return None

    def merge(self, chunk: Chunk, result: Result) -> None:
        """Write a chunk's result into its column; begin the next stage if it was the last chunk."""
        column, fresh, rows = self.columns[chunk.job.column], result.column, chunk.rows
        broken = ~fresh["robust"]
        for name in ("robust", "by", "step", "distance"):
            getattr(column, name)[rows[broken]] = fresh[name][broken]
        column.found[rows[broken]] = result.found
        column.forward[rows] += fresh["forward"]
        column.backward[rows] += fresh["backward"]
        column.seconds += fresh["seconds"]
        chain = self._chains[chunk.chain]
        chain.left[rows] = False
        self.done += len(rows)
        self._advance(chain)

    def state(self) -> State:
        """Everything that is needed to resume, except the adversarial examples."""
        state = states(self.columns)
        for number, chain in enumerate(self._chains):
            state[f"chain{number}.position"] = torch.tensor(chain.position)
            state[f"chain{number}.left"] = torch.from_numpy(chain.left)
        return state

    def _advance(self, chain: Chain) -> None:
        """Begin the next stage that attacks any example, if the current one is finished."""
        while not chain.left.any() and chain.position < len(chain.jobs):
            position = chain.position + 1
            left = np.zeros(0, bool)
            if position < len(chain.jobs):
                job = chain.jobs[position]
                left = self._engine.choose(job, self._evaluation.examples, self.columns)
            self._begin(chain, position, left)

    def _begin(self, chain: Chain, position: int, left: Array) -> None:
        chain.position, chain.left = position, left
        chain.waiting = self._order[left[self._order]] if len(left) else np.zeros(0, np.int64)
        self.total += len(chain.waiting)


def _chains(jobs: list[Job], sequential: bool) -> list[Chain]:
    if sequential:
        return [Chain(jobs)]
    columns = sorted({job.column for job in jobs})
    return [Chain([job for job in jobs if job.column == column]) for column in columns]

"""The steps of one attack: queries, moves, and points that the judge has to verify."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.attacks.base import Attack, Slots
from bench.compute import random_streams
from bench.evaluation.proposer import Proposer
from bench.evaluation.queue import Array, Queue
from bench.evaluation.verdicts import Verdicts
from bench.losses import margin

NEAR = 0.05
"""In shares of the logits' spread: several times the largest change of a margin by bf16 that was
observed."""


@dataclass(frozen=True)
class Loop:
    """An attack on the model as `proposer` answers it; rows are the examples of the slots."""

    attack: Attack
    proposer: Proposer
    verdicts: Verdicts
    seed: int

    def start(self, pieces: Array, queue: Queue) -> Slots:
        """Slots for some pieces of the queue, at the attack's first points."""
        rows, device = queue.rows[pieces], self.verdicts.device
        x, y = self.verdicts.originals(rows)
        numbers = self.verdicts.examples.numbers[rows]
        key = random_streams.keys(self.seed, numbers, self.attack.name)
        key = random_streams.fold(key, torch.from_numpy(queue.attempts[pieces]))
        target = torch.from_numpy(queue.targets[pieces])
        slots = Slots.fresh(x, y, target.to(device), key.to(device))
        return self.attack.start(slots, self.verdicts.job.threat)

    def step(self, slots: Slots, rows: Array) -> tuple[Slots, Array]:
        """Query the model, take one step, and let the judge verify candidates.

        Returns the slots that go on, and which of the given ones these are.
        """
        column = self.verdicts.column
        response = self.proposer.query(self.attack, slots)
        np.add.at(column.forward, rows, self.proposer.repeats)
        if self.attack.needs_gradient:
            np.add.at(column.backward, rows, self.proposer.repeats)
        moved = self.attack.step(slots, response, self.verdicts.job.threat)
        claim, done = torch.stack([claimed(response.logits, slots.y), moved.done]).cpu().numpy()
        self._judge(slots, np.flatnonzero(claim), rows)
        ended = np.flatnonzero(done & column.robust[rows])
        self._judge(moved, self._near_boundary(moved, ended, rows), rows)
        keep = ~done & column.robust[rows]
        if keep.all():
            return moved, keep
        return moved.rows(torch.from_numpy(np.flatnonzero(keep)).to(self.verdicts.device)), keep

    def _near_boundary(self, slots: Slots, ended: Array, rows: Array) -> Array:
        """Of slots whose attack ended, those whose last points the judge has to classify.

        Most last points are far from any decision boundary; the proposer's logits, which cost less
        than the judge's, are enough to see that.
        """
        if self.verdicts.random or not len(ended):
            return ended
        chosen = torch.from_numpy(ended).to(self.verdicts.device)
        logits = self.proposer.logits(slots.point[chosen])
        np.add.at(self.verdicts.column.forward, rows[ended], 1)
        near: Array = claimed(logits, slots.y[chosen], NEAR).cpu().numpy()
        return ended[near]

    def _judge(self, slots: Slots, which: Array, rows: Array) -> None:
        """Let the judge classify the points of those of some slots that are still robust."""
        which = which[self.verdicts.column.robust[rows[which]]]
        if len(which):
            chosen = slots.rows(torch.from_numpy(which).to(self.verdicts.device))
            self.verdicts.write(rows[which], chosen.point, chosen.t.cpu().numpy())


def claimed(
    logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], near: float = 0.0
) -> Bool[Tensor, " n"]:
    """Whether logits are misclassified, or correct by less than a share `near` of their spread;
    non-finite logits count as misclassified."""
    spread = logits.amax(1) - logits.amin(1)
    return ~(margin(logits, y) < -near * spread)

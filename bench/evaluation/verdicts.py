"""The judge's verdicts about the points of one job, written into its column."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from bench.evaluation.judge import CLEAR, VOTES, Judge, allowed
from bench.evaluation.queue import Array, Column, Examples, Job
from bench.threats.geometry import Points


@dataclass(frozen=True)
class Verdicts:
    """The verdicts of one job. Rows are positions of examples; passes of the judge are counted."""

    job: Job
    examples: Examples
    column: Column
    judge: Judge
    device: torch.device

    @property
    def random(self) -> bool:
        """Whether the model's outputs are random."""
        return self.judge.votes > 1

    def originals(self, rows: Array) -> tuple[Points, Int[Tensor, " n"]]:
        """Images (n, c, h, w) and labels (n,) that no attack can have changed."""
        chosen = torch.from_numpy(rows)
        images = self.examples.floats(chosen, self.device)
        return images, self.examples.labels[chosen].to(self.device)

    def write(self, rows: Array, points: Points, steps: Array) -> None:
        """Judge points (n, c, h, w) of rows (n,), and store those that break a robust example."""
        x, y = self.originals(rows)
        threat, bounded = self.job.threat, self.job.stage.attack.bounded
        broken, far = self.judge.adversarial(x, points, y, threat, bounded=bounded)
        inside = (far <= allowed(threat)).cpu().numpy()
        np.add.at(self.column.forward, rows[inside], self.judge.votes)
        broken = self._confirmed(broken, points, y, rows)
        for place in torch.nonzero(broken).flatten().tolist():
            row, step, distance = int(rows[place]), int(steps[place]), float(far[place])
            if self.column.robust[row]:
                point = points[place].cpu().numpy()
                self.column.broken(row, self.job.number, step, distance, point)

    def _confirmed(
        self, broken: Bool[Tensor, " n"], points: Points, y: Int[Tensor, " n"], rows: Array
    ) -> Bool[Tensor, " n"]:
        """The broken points; of a random model those that many further passes misclassify too."""
        if not self.random or not bool(broken.any()):
            return broken
        np.add.at(self.column.forward, rows[broken.cpu().numpy()], VOTES)
        shares = self.judge.errors(points[broken], y[broken], VOTES)
        return broken.masked_scatter(broken, shares >= CLEAR)

    def review(self, capacity: int) -> None:
        """Let fresh passes decide about what the job broke, in batches of `capacity`: of its many
        tries one may have been lucky."""
        column = self.column
        rows = np.flatnonzero(~column.robust & (column.by == self.job.number))
        for first in range(0, len(rows), capacity):
            some = rows[first : first + capacity]
            points = torch.from_numpy(column.found[some]).to(self.device)
            _, y = self.originals(some)
            right = self.judge.errors(points, y, VOTES) < 0.5
            column.forward[some] += VOTES
            column.spare(some[right.cpu().numpy()])

"""Estimates the cost of an evaluation by attacking a sample of its examples.

The sample is spread over the clean margins, because the cost depends on the margin: an example that
is nearly misclassified is broken at the first step, a robust one costs every step of every attack.
Nothing is saved; the random numbers are those of the evaluation itself.
"""

import resource
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch

from bench.attacks.external import ExternalAttack
from bench.display import duration
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.queue import Array, Column, Examples, Job
from bench.losses import margin

STEPS = 3
"""Timed steps with full batches; the first one is left out."""


@dataclass(frozen=True)
class Estimate:
    """`forward` and `backward` are passes, counted per image; `seconds` are for one device;
    `memory` and `disk` in bytes; `spread` is the relative standard error of the passes."""

    examples: int
    correct: int
    sampled: int
    forward: float
    backward: float
    spread: float
    seconds: float
    memory: int
    disk: int

    def __str__(self) -> str:
        return (
            f"{self.correct} of {self.examples} examples to attack, about {self.forward:,.0f} "
            f"forward and {self.backward:,.0f} backward passes (± {self.spread:.0%}, from "
            f"{self.sampled} examples), {duration(self.seconds)} on one device, "
            f"{self.memory / 2**30:.1f} GiB of memory, {self.disk / 2**20:.1f} MiB of evidence"
        )


def estimate(evaluation: Evaluation) -> Estimate:
    """Attack 2 % of the correctly classified examples, 8 to 32 of them, and scale up.

    The time is the number of passes times the time of a pass in a full batch.
    """
    correct = int(evaluation.clean.sum())
    if not correct:
        return Estimate(len(evaluation.clean), 0, 0, 0.0, 0.0, 0.0, 0.0, _memory(evaluation), 0)
    rows = _spread(evaluation, min(32, max(8, correct // 50)))
    examples = evaluation.examples.at(rows)
    columns = _columns(evaluation, examples)
    jobs = [_scaled(job, len(rows) / correct) for job in evaluation.jobs()]
    evaluation.attacked.engine(lambda state: None).run(jobs, examples, columns, {})
    passes = np.sum([column.forward + column.backward for column in columns], axis=0)
    broken = sum(int((~column.robust).sum()) for column in columns)
    scale = correct / len(rows)
    return Estimate(
        examples=len(evaluation.clean),
        correct=correct,
        sampled=len(rows),
        forward=scale * sum(float(column.forward.sum()) for column in columns),
        backward=scale * sum(float(column.backward.sum()) for column in columns),
        spread=float(passes.std() / passes.mean() / len(rows) ** 0.5),
        seconds=scale
        * sum(
            float(column.forward.sum()) * _pace(evaluation, examples, column, number)
            for number, column in enumerate(columns)
        ),
        memory=_memory(evaluation),
        disk=int(scale * broken * examples.images[0].numel() * 4),
    )


def _scaled(job: Job, share: float) -> Job:
    """The job with `sample` reduced to a share."""
    if job.stage.sample is None:
        return job
    return replace(job, stage=replace(job.stage, sample=max(1, round(job.stage.sample * share))))


def _spread(evaluation: Evaluation, sample: int) -> Array:
    """Rows of correct examples, evenly spaced in the order of their margins."""
    margins = margin(evaluation.logits, evaluation.examples.labels).numpy()
    correct = np.flatnonzero(evaluation.clean)
    ordered = correct[np.argsort(margins[correct], kind="stable")]
    count = min(sample, len(ordered))
    return ordered[((np.arange(count) + 0.5) / count * len(ordered)).astype(np.int64)]


class _Timed(Exception):
    """Enough steps were timed."""


def _columns(evaluation: Evaluation, examples: Examples) -> list[Column]:
    everything, shape = np.ones(len(examples), bool), tuple(examples.images.shape)
    return [Column.of(everything, np.zeros(shape, np.float32)) for _ in evaluation.suites]


def _pace(evaluation: Evaluation, examples: Examples, column: Column, number: int) -> float:
    """Seconds per forward pass of an image, everything included, in full batches of a column's
    first stage; of an external attack, which has no steps to time, those of the sample."""
    job = next(job for job in evaluation.jobs() if job.column == number)
    if isinstance(job.stage.attack, ExternalAttack):
        return float(column.seconds.sum()) / max(int(column.forward.sum()), 1)
    full = examples.at(np.arange(evaluation.attacked.capacity) % len(examples))
    columns = _columns(evaluation, full)
    moments: list[tuple[float, int]] = []

    def note_time(*_: object) -> None:
        moments.append((time.perf_counter(), int(columns[number].forward.sum())))
        if len(moments) > STEPS:
            raise _Timed

    note_time()
    with suppress(_Timed):
        evaluation.attacked.engine(lambda state: None, note_time).run([job], full, columns, {})
        note_time()
    # The first step is slower: caches are cold and memory is not yet allocated.
    (began, before), (ended, after) = moments[min(1, len(moments) - 2)], moments[-1]
    return (ended - began) / max(after - before, 1)


def _memory(evaluation: Evaluation) -> int:
    if evaluation.attacked.device.type == "cuda":
        return torch.cuda.max_memory_allocated(evaluation.attacked.device)
    return peak_memory()


def peak_memory() -> int:
    """The largest memory, in bytes, that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

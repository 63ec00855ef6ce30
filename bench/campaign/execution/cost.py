"""The forecast cost of a campaign, from a few training steps of every recipe on this machine.

Each recipe is trained for a few steps, teachers first, in a temporary folder; passes and seconds
are proportional to the number of steps. The cost of an evaluation is the mean over the campaign's
records of the same suites. Without such records a few examples of the briefly trained network are
attacked, which is a lower bound: attacks on a trained network cost more.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bench.campaign.definition.campaign import Run
from bench.campaign.definition.options import kind_of
from bench.campaign.definition.toml import Table
from bench.campaign.execution.plan import Plan, Step
from bench.campaign.execution.state import State
from bench.display import Progress, duration
from bench.evaluation.estimate import estimate, peak_memory
from bench.evaluation.settings import Settings
from bench.measurement import Measurement
from bench.models.checkpoint import metadata_of
from bench.training import Job, threats_of
from leaderboard.schema import Record
from leaderboard.store import Board

BATCHES = 4
"""Number of steps for which each recipe is trained."""


@dataclass(frozen=True)
class Cost:
    """Forward plus backward passes; seconds of one process; bytes of disk."""

    passes: float = 0.0
    seconds: float = 0.0
    disk: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.passes + other.passes, self.seconds + other.seconds, self.disk + other.disk
        )


@dataclass(frozen=True)
class Forecast:
    """Number and cost of the trainings and evaluations that remain. `memory` is in bytes and of one
    process; `lower_bounds` counts the evaluations of networks that are not trained yet."""

    trainings: int
    training: Cost
    evaluations: int
    evaluation: Cost
    lower_bounds: int
    memory: int

    def lines(self, jobs: int) -> Iterator[str]:
        """The forecast as text, for `jobs` processes at a time."""
        yield f"{self.trainings} trainings: {_text(self.training)}"
        yield f"{self.evaluations} evaluations: {_text(self.evaluation)}"
        if self.lower_bounds:
            yield (
                f"{self.lower_bounds} of them are of networks that are not trained yet: "
                "their figures are lower bounds"
            )
        seconds = (self.training.seconds + self.evaluation.seconds) / jobs
        yield (
            f"with {jobs} processes at a time: {duration(seconds)}, "
            f"{jobs * self.memory / 2**30:.1f} GiB of memory"
        )


def _text(cost: Cost) -> str:
    return (
        f"{cost.passes:,.0f} passes, {cost.seconds / 3600:.2f} hours of one process, "
        f"{cost.disk / 2**20:.1f} MiB"
    )


def forecast(plan: Plan, state: State, progress: Progress) -> Forecast:
    """The cost of all steps that are not done.

    Raises:
        CrossfireError: a recipe can't be trained.
    """
    remaining = [s for key, s in plan.steps.items() if state.entries[key].status != "done"]
    trainings = [step for step in remaining if step.kind == "train"]
    evaluations = [step for step in remaining if step.kind == "evaluate"]
    runs = {run.name: run for run in plan.campaign.runs}
    known = _recorded_costs(plan)
    needed = {s.run for s in trainings} | {s.run for s in evaluations if _suites(s) not in known}
    folder = plan.campaign.folder
    with tempfile.TemporaryDirectory() as scratch, chdir(folder if folder.is_dir() else scratch):
        samples = _training_costs(plan, Path(scratch), runs, needed, progress)
        unknown = {(s.run, _suites(s)): s for s in evaluations if _suites(s) not in known}
        estimates = {
            which: _evaluation_cost(plan, s, Path(scratch)) for which, s in unknown.items()
        }
    measured = [known.get(_suites(s)) or estimates[s.run, _suites(s)] for s in evaluations]
    return Forecast(
        len(trainings),
        sum((samples[step.run] for step in trainings), Cost()),
        len(evaluations),
        sum(measured, Cost()),
        sum(_suites(step) not in known for step in evaluations),
        peak_memory(),
    )


def _suites(step: Step) -> tuple[Any, ...]:
    assert step.evaluation is not None
    return step.evaluation.suites, step.evaluation.threat, step.evaluation.examples


def _recorded_costs(plan: Plan) -> dict[tuple[Any, ...], Cost]:
    """The mean cost of the campaign's evaluations of each kind, from the records on its boards."""
    boards = {step.board for step in plan.steps.values() if step.kind == "evaluate"}
    records = [r for name in boards for r in Board(plan.campaign.board_at(name)).records()]
    found = {}
    for one in plan.campaign.evaluations:
        alike = [
            r
            for r in records
            if r.protocol.suites == one.suites
            and r.data.name == plan.campaign.dataset
            and r.data.examples == (one.examples or r.data.examples)
        ]
        if alike:
            found[one.suites, one.threat, one.examples] = _mean_cost(alike)
    return found


def _mean_cost(records: list[Record]) -> Cost:
    verdicts = [verdict for record in records for verdict in record.verdicts]
    passes = sum(verdict.forward_passes + verdict.backward_passes for verdict in verdicts)
    seconds = sum(verdict.seconds for verdict in verdicts)
    return Cost(passes / len(records), seconds / len(records))


def _training_costs(
    plan: Plan, scratch: Path, runs: dict[str, Run], needed: set[str], progress: Progress
) -> dict[str, Cost]:
    """The cost of one training of each recipe; the briefly trained networks are in `scratch`."""
    steps = {step.run: step for step in list(plan.steps.values())[::-1] if step.kind == "train"}
    wanted = set(needed)
    for name in needed:
        wanted |= set(runs[name].teachers.values())
    found = {}
    chosen = [name for name in dict.fromkeys(s.run for s in plan.steps.values()) if name in wanted]
    for number, name in enumerate(name for name in chosen if name in steps):
        progress(number, len(chosen), f"training {name} for {BATCHES} steps")
        found[name] = _training_cost(plan, runs[name], scratch)
    progress(len(chosen), len(chosen), "all recipes were tried")
    return found


def _training_cost(plan: Plan, run: Run, scratch: Path) -> Cost:
    campaign, options = plan.campaign, run.options
    table = Table(campaign.path, "", {})
    kind = kind_of(table, str(options.defense), campaign.folder)
    teachers = {key: str(scratch / name) for key, name in run.teachers.items()}
    job = Job(
        scratch / run.name,
        threats_of(options.threat, campaign.dataset, options.budgets),
        dataset=campaign.dataset,
        **options.job,
    )
    images = min(job.examples or len(job.data.train), len(job.data.train))
    few = min(images, BATCHES * job.batch_size)
    start = time.perf_counter()
    sample = job.with_settings(examples=few, epochs=1, drops=())  # their classes were checked
    # During a warm-up a part of the cost is missing.
    warm_ups = {item.name: 0 for item in fields(kind) if item.metadata.get("warm_up")}
    kind(**{**options.own, **teachers, **warm_ups}).fit(sample)
    elapsed = time.perf_counter() - start
    steps, total = -(-few // job.batch_size), -(-images // job.batch_size) * job.epochs
    passes = sample.passes.forwards.total() + sample.passes.backwards.total()
    # The rest of the time was spent on the held-out split, which is evaluated once an epoch.
    trained = metadata_of(scratch / run.name).seconds
    disk = float(
        sum(path.stat().st_size for path in (scratch / run.name).rglob("*") if path.is_file())
    )
    return Cost(
        passes * images * job.epochs / few,
        trained / steps * total + (elapsed - trained) * job.epochs,
        disk,
    )


def _evaluation_cost(plan: Plan, step: Step, scratch: Path) -> Cost:
    one = step.evaluation
    assert one is not None
    model = str(scratch / step.run) if step.model.endswith(".safetensors") else step.model
    settings = Settings(
        threat=one.threat,
        suites=one.suites,
        dataset=plan.campaign.dataset,
        budgets=one.budgets,
        seed=one.seed,
        precision=one.precision,
        union_only=one.union_only,
    )
    (run,) = (run for run in plan.campaign.runs if run.name == step.run)
    measurement = Measurement(settings, examples=one.examples, arch=run.options.own_arch)
    found = estimate(measurement.prepare(model)[1])
    return Cost(found.forward + found.backward, found.seconds, float(found.disk))

"""A study: several methods and seeds on one task, and their report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.display import Progress
from imitation_learning.expert import demonstrations
from imitation_learning.report import write
from imitation_learning.results import Method, Plan, read_results
from imitation_learning.run import run
from imitation_learning.tasks import get_task


@dataclass(frozen=True)
class Study:
    """What the command asks for."""

    task: str
    methods: Sequence[Method]
    seeds: Sequence[int]
    steps: int | None
    """Environment steps of a run; None for the task's own."""
    episodes: int
    thin: int
    out: Path

    def plans(self) -> list[Plan]:
        """The runs, seed after seed; their steps are whole rounds, one at least."""
        task = get_task(self.task)
        rounds = max((self.steps or task.steps) // task.round_steps, 1)
        steps = rounds * task.round_steps
        return [
            Plan(self.task, method, seed, steps, self.episodes, self.thin)
            for seed in self.seeds
            for method in self.methods
        ]


def work(study: Study, progress: Progress) -> Path:
    """Do what is left of the runs; returns the report's page, which shows all runs of the folder.

    One thread is used: more make networks of this size slower.

    Raises:
        CrossfireError: the task is unknown, or the folder holds runs with other options.
    """
    task, plans = get_task(study.task), study.plans()
    read_results(study.out, plans[0].common)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        known = study.out / "expert.npz"
        expert = demonstrations(known, task, study.episodes, study.thin, progress)
        total = sum(plan.steps for plan in plans)
        for k, plan in enumerate(plans):
            before, said = sum(plan.steps for plan in plans[:k]), f"{plan.method}, seed {plan.seed}"

            def shown(steps: int, before: int = before, said: str = said) -> None:
                progress(before + steps, total, f"{study.task}: {said}")

            run(plan, task, expert, study.out, shown)
            shown(plan.steps)
    finally:
        torch.set_num_threads(threads)
    return write(study.out)

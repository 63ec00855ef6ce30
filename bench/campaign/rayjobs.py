"""Steps on a Ray cluster: a training is a task, an evaluation gives its chunks to the same queue.

A task runs the step's command in a folder of its own. A *keeper*, an actor on the machine where
`bench run` was called, writes down what the task leaves there, twice a minute and at the end, and
gives the task what it needs: data, a teacher, and what an earlier attempt left. So a lost node
costs what it did since then. Which node does what, and how often it is tried again, is Ray's
business.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.campaign.jobs import Ended, LocalJobs
from bench.campaign.plan import Step
from bench.campaign.said import why
from bench.campaign.worker import Keeper, train
from bench.errors import reason

RETRIES = 5
"""How often a training is begun anew when its node is lost."""


class RayJobs:
    """Trainings as tasks of `cpus` CPUs each, or of GPUs where the cluster has any; at most `jobs`
    evaluations at a time, whose chunks the cluster attacks."""

    def __init__(self, ray: Any, folder: Path, jobs: int, cpus: int) -> None:  # noqa: ANN401
        context = ray.get_runtime_context()
        self._ray, self._folder, self._cpus = ray, folder, cpus
        self._local = LocalJobs(folder, jobs, ("--ray", context.gcs_address))
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            context.get_node_id(), soft=False
        )
        keeper = ray.remote(Keeper).options(num_cpus=0, scheduling_strategy=here)
        self._keeper = keeper.remote(str(folder))
        self._open: dict[Any, tuple[Step, Path]] = {}

    def room(self, step: Step) -> bool:
        """Any number of trainings may wait in Ray's queue."""
        return step.kind == "train" or self._local.room(step)

    def start(self, step: Step, log: Path) -> None:
        """Put a training on the queue, or begin an evaluation."""
        if step.kind == "evaluate":
            self._local.start(step, log)
            return
        gpus = step.devices if self._ray.cluster_resources().get("GPU", 0) >= step.devices else 0
        task = self._ray.remote(train).options(
            name=step.key, num_cpus=self._cpus, num_gpus=gpus, max_retries=RETRIES
        )
        words = (list(step.command), list(step.files), step.model, str(self._cpus))
        self._open[task.remote(self._keeper, str(log), *words)] = step, log

    def ended(self) -> Iterator[Ended]:
        """The steps that came to their end."""
        yield from self._local.ended()
        ready, _ = self._ray.wait(list(self._open), timeout=0) if self._open else ([], [])
        for task in ready:
            step, log = self._open.pop(task)
            try:
                code = self._ray.get(task)
            except self._ray.exceptions.RayError as error:
                yield step, f"its task was lost {RETRIES + 1} times ({reason(error)})"
            else:
                yield step, None if code == 0 else why(log, code)

    def stop(self) -> None:
        """End every step at once."""
        self._local.stop()
        for task in self._open:
            self._ray.cancel(task, force=True)
        self._open.clear()

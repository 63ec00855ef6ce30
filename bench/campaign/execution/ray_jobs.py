"""Steps on a Ray cluster: a training is a task; the chunks of an evaluation are tasks as well.

A task runs the step's command in a folder of its own. A *file server*, an actor on the machine
where `bench run` was called, sends the task its input (data, a teacher, and the state that an
earlier attempt saved) and stores its output twice a minute and at the end. A lost node therefore
costs the work since the last transfer. Ray schedules the tasks and repeats those that are lost.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.campaign.execution.local_jobs import Ended, LocalJobs
from bench.campaign.execution.plan import Step
from bench.campaign.execution.process_log import failure_reason
from bench.campaign.execution.ray_worker import FileServer, train
from bench.errors import reason

RETRIES = 5
"""How often a training is restarted when its node is lost."""


class RayJobs:
    """Trainings as tasks of `cpus` CPUs each, and of GPUs where the cluster has any; at most `jobs`
    evaluations at a time, whose chunks are attacked by the cluster."""

    def __init__(self, ray: Any, folder: Path, jobs: int, cpus: int) -> None:  # noqa: ANN401
        context = ray.get_runtime_context()
        self._ray, self._folder, self._cpus = ray, folder, cpus
        self._local = LocalJobs(folder, jobs, ("--ray", context.gcs_address))
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            context.get_node_id(), soft=False
        )
        server = ray.remote(FileServer).options(num_cpus=0, scheduling_strategy=here)
        self._server = server.remote(str(folder))
        self._tasks: dict[Any, tuple[Step, Path]] = {}

    def has_capacity(self, step: Step) -> bool:
        """Always for a training, which waits in Ray's queue; else whether a process may start."""
        return step.kind == "train" or self._local.has_capacity(step)

    def start(self, step: Step, log: Path) -> None:
        """Submit a training, or start an evaluation."""
        if step.kind == "evaluate":
            self._local.start(step, log)
            return
        gpus = step.devices if self._ray.cluster_resources().get("GPU", 0) >= step.devices else 0
        task = self._ray.remote(train).options(
            name=step.key, num_cpus=self._cpus, num_gpus=gpus, max_retries=RETRIES
        )
        arguments = (list(step.command), list(step.files), step.model, str(self._cpus))
        self._tasks[task.remote(self._server, str(log), *arguments)] = step, log

    def ended(self) -> Iterator[Ended]:
        """The steps that have ended."""
        yield from self._local.ended()
        ready, _ = self._ray.wait(list(self._tasks), timeout=0) if self._tasks else ([], [])
        for task in ready:
            step, log = self._tasks.pop(task)
            try:
                code = self._ray.get(task)
            except self._ray.exceptions.RayTaskError as error:
                yield step, reason(error.cause)
            except self._ray.exceptions.RayError as error:
                yield step, f"its task was lost {RETRIES + 1} times ({reason(error)})"
            else:
                yield step, None if code == 0 else failure_reason(log, code)

    def stop(self) -> None:
        """Kill every step."""
        self._local.stop()
        for task in self._tasks:
            self._ray.cancel(task, force=True)
        self._tasks.clear()

"""The connection to Ray, its workers, and the chunks that they attack."""

import hashlib
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.cluster.plan import Chunk
from bench.cluster.worker import Result, attack
from bench.errors import CrossfireError, reason
from bench.evaluation.attacked import AttackedModel
from bench.evaluation.evaluator import Evaluation
from bench.plugins.registry import USERS

RETRIES = 5
"""How often a chunk is restarted when its worker is lost."""
AHEAD = 2
"""Chunks submitted per worker, so that no worker waits for the next chunk."""


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Ray, connected to the cluster at `address`: HOST:PORT, or `auto` for the running local
    cluster or, if there is none, a new one on this machine that ends with the evaluation.

    Raises:
        CrossfireError: Ray is not installed, or no cluster responds at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise CrossfireError(
            "--ray needs Ray; run: pip install 'crossfire-bench[cluster]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    if address != "auto":
        _check_reachable(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _connect(ray, address)
        try:
            yield ray
        finally:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:  # noqa: ANN401
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address != "auto":
            raise _unreachable(address, error) from error
        ray.init(address="local", include_dashboard=False, **quiet)
    except (RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from error


def _check_reachable(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> CrossfireError:
    return CrossfireError(
        f"no Ray cluster responds at '{address}' ({reason(error)}); "
        "start one with ray start --head, or use --ray auto"
    )


class Pool:
    """The submitted chunks. A worker has one GPU if the cluster has GPUs, else one CPU."""

    def __init__(self, ray: Any, evaluation: Evaluation) -> None:  # noqa: ANN401
        self._ray = ray
        _pickle_user_modules_by_value(ray)
        blob = ray.cloudpickle.dumps(evaluation.attacked.portable())
        self._evaluation = ray.put(blob)
        self._key = hashlib.sha256(blob).hexdigest()
        wanted = evaluation.settings.device
        self._gpu = wanted != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1
        resources = {"num_gpus": 1, "num_cpus": 0} if self._gpu else {"num_cpus": 1}
        self._task = ray.remote(_task).options(name="attack", max_retries=RETRIES, **resources)
        self._capacity = evaluation.settings.capacity_on("cuda" if self._gpu else "cpu")
        self._pieces = int(evaluation.clean.sum()) * len(evaluation.suites)
        self._open: dict[Any, Chunk] = {}

    @property
    def workers(self) -> int:
        """How many chunks the cluster can attack at the same time."""
        return max(1, int(self._ray.cluster_resources().get("GPU" if self._gpu else "CPU", 0)))

    @property
    def chunk(self) -> int:
        """Examples per chunk: a third of each worker's share, so that all workers finish together;
        at most four full batches, because larger chunks save little (docs/explanation/scale.md)."""
        return max(16, min(4 * self._capacity, self._pieces // (3 * self.workers)))

    @property
    def has_room(self) -> bool:
        """Whether another chunk should be submitted."""
        return len(self._open) < AHEAD * self.workers

    def submit(self, chunk: Chunk) -> None:
        """Submit a chunk to Ray."""
        # The reference is wrapped in a list, so that Ray does not fetch the model for each task.
        task = self._task.remote(
            self._key, [self._evaluation], chunk.job, chunk.examples, self._gpu
        )
        self._open[task] = chunk

    def results(self) -> Iterator[tuple[Chunk, Result]]:
        """The chunks that finish within a second.

        Raises:
            CrossfireError: a chunk's workers were lost too often, or its attack failed.
        """
        ready, _ = self._ray.wait(list(self._open), timeout=1.0)
        for task in ready:
            chunk = self._open.pop(task)
            try:
                yield chunk, self._ray.get(task)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except self._ray.exceptions.RayError as error:
                raise CrossfireError(
                    f"workers were lost {RETRIES + 1} times on the same examples "
                    f"({reason(error)}); give them more memory, or set a smaller --batch-size"
                ) from error


def _task(key: str, blob: list[Any], job: Any, examples: Any, gpu: bool) -> Result:  # noqa: ANN401
    import ray

    from bench.models.sources.zoo import make_importable

    def fetch() -> AttackedModel:
        make_importable()
        model: AttackedModel = ray.cloudpickle.loads(ray.get(blob[0]))
        return model

    return attack(key, fetch, job, examples, "cuda" if gpu else "cpu")


def _pickle_user_modules_by_value(ray: Any) -> None:  # noqa: ANN401
    """Send a user's Python file, and the modules in its folder, to workers with the model."""
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    folders = {Path(f).parent for name, f in files.items() if f and name.startswith(USERS)}
    for name, file in files.items():
        if file and Path(file).parent in folders:
            ray.cloudpickle.register_pickle_by_value(sys.modules[name])

"""A campaign on a real Ray cluster on this machine, one of whose nodes is lost."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.campaign import commands
from bench.campaign.definition.file import read
from bench.campaign.execution.local_jobs import cores
from bench.campaign.execution.plan import make
from bench.campaign.execution.process_log import last_progress
from bench.campaign.execution.scheduler import log_of
from bench.campaign.execution.state import State
from leaderboard.store import Board

ray: Any = pytest.importorskip("ray")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]

TEXT = """
[train]
epochs = 200
examples = 256

[[run]]
defense = "undefended"

[[evaluate]]
threat = "linf"
examples = 20
"""
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster whose head node runs no tasks; tests add worker nodes."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")  # else its workers have the lowest priority
    found = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    yield found
    ray.shutdown()
    found.shutdown()


def run(folder: Path, where: str | None) -> tuple[int, list[str]]:
    messages: list[str] = []
    file = folder / "c.toml"
    code = commands.run(
        file,
        jobs=cores(),  # one thread for each process, as the cluster's
        ray=where,
        storage=None,
        minutes=None,
        display="plain",
        write_progress=messages.append,
        notify=messages.append,
    )
    return code, messages


def test_a_training_on_a_lost_node_is_resumed_on_another_one(nodes: Any, tmp_path: Path) -> None:  # noqa: ANN401
    (tmp_path / "remote").mkdir()
    (tmp_path / "local").mkdir()
    for name in ("remote", "local"):
        (tmp_path / name / "c.toml").write_text(TEXT)
    plan = make(read(tmp_path / "remote" / "c.toml"))
    log = log_of(State.load(plan), plan.steps["train undefended-0"])
    first = nodes.add_node(**NODE)

    # Ray can start nodes in the main thread only, because it handles signals.
    with ThreadPoolExecutor(1) as pool:
        remote = pool.submit(run, tmp_path / "remote", nodes.address)
        while not log.exists():
            time.sleep(0.05)
        nodes.add_node(**NODE)
        while last_progress(log).done < 1:
            time.sleep(0.05)
        nodes.remove_node(first, allow_graceful=False)
        code, messages = remote.result()
    assert code == 0, messages
    assert first not in nodes.list_all_nodes()
    assert run(tmp_path / "local", None)[0] == 0
    (remote_record,), (local,) = (
        Board(tmp_path / name / "board").records() for name in ("remote", "local")
    )
    assert remote_record.measured == local.measured
    assert remote_record.model.weights_sha256 == local.model.weights_sha256

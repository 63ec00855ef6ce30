"""A campaign on a real Ray cluster on this machine, one of whose nodes is lost."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.campaign.command import work
from bench.campaign.file import read
from bench.campaign.jobs import cores
from bench.campaign.plan import make
from bench.campaign.run import log_of
from bench.campaign.said import progress
from bench.campaign.state import State
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
    """A head that computes nothing; a worker is to come."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")  # else its workers wait for all others here
    found = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    yield found
    ray.shutdown()
    found.shutdown()


def run(folder: Path, where: str | None) -> tuple[int, list[str]]:
    said: list[str] = []
    file = folder / "c.toml"
    code = work(
        file,
        jobs=cores(),  # one thread for each process, as the cluster's
        ray=where,
        storage=None,
        minutes=None,
        display="plain",
        write=said.append,
        say=said.append,
    )
    return code, said


def test_a_lost_node_costs_only_what_it_was_doing(nodes: Any, tmp_path: Path) -> None:  # noqa: ANN401
    (tmp_path / "far").mkdir()
    (tmp_path / "here").mkdir()
    for name in ("far", "here"):
        (tmp_path / name / "c.toml").write_text(TEXT)
    plan = make(read(tmp_path / "far" / "c.toml"))
    log = log_of(State.load(plan), plan.steps["train undefended-0"])
    first = nodes.add_node(**NODE)

    # Ray handles signals, so that it starts nodes in the main thread alone.
    with ThreadPoolExecutor(1) as pool:
        far = pool.submit(run, tmp_path / "far", nodes.address)
        while not log.exists():
            time.sleep(0.05)
        nodes.add_node(**NODE)
        while progress(log).done < 1:
            time.sleep(0.05)
        nodes.remove_node(first, allow_graceful=False)
        code, said = far.result()
    assert code == 0, said
    assert first not in nodes.list_all_nodes()
    assert run(tmp_path / "here", None)[0] == 0
    (there,), (here,) = (Board(tmp_path / name / "board").records() for name in ("far", "here"))
    assert there.measured == here.measured
    assert there.model.weights_sha256 == here.model.weights_sha256

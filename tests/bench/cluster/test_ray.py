"""A real Ray cluster of two nodes on this machine, one worker each."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from bench import cluster
from bench.cli import main
from bench.cluster import pool
from bench.data import Dataset, Split
from bench.errors import CrossfireError
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.settings import Settings
from bench.models.sources import find
from leaderboard.store import Board
from tests.bench.cluster.test_plan import assert_same

ray: Any = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")

HELPER = "def scale(x):\n    return 3 * x\n"
MODEL = """
import os
import torch
from torch import nn
from ray_test_helper import scale

MAIN_PROCESS = os.getpid()

class Net(nn.Sequential):
    def forward(self, x):
        return scale(super().forward(x))

class Deadly(Net):
    def forward(self, x):
        if os.getpid() != MAIN_PROCESS:
            os._exit(1)
        return super().forward(x)

def layers():
    torch.manual_seed(0)
    return nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4)

def net():
    return Net(*layers())

def deadly():
    return Deadly(*layers())
"""


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    from ray.cluster_utils import Cluster

    settings = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    nodes = Cluster(initialize_head=True, head_node_args=settings)
    nodes.add_node(**settings)
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's file, which imports another file of its folder."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(MODEL)
    (folder / "ray_test_helper.py").write_text(HELPER)
    return folder


def evaluation(folder: Path, name: str = "net", n: int = 60) -> Evaluation:
    torch.manual_seed(1)
    images = torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8)
    split = Split(images, torch.arange(n) % 4)
    model = find(f"{folder / 'mine.py'}:{name}", Dataset.divide("noise", 4, split, split)).model
    labels = model(split.floats()).argmax(1)
    settings = Settings(threat="linf:0.02,l2:0.1", precision="fp32", dataset="noise", device="cpu")
    return Evaluation(model, images, labels, torch.arange(n), settings)


def test_two_nodes_give_the_flags_of_one_process_even_if_a_worker_is_killed(
    two_nodes: None, folder: Path, tmp_path: Path
) -> None:
    work = evaluation(folder)
    pids = ray.get([ray.remote(lambda: os.getpid()).remote() for _ in range(20)])
    seen: list[tuple[int, int]] = []

    def kill_once(done: int, total: int, text: str) -> None:
        if done and not any(before for before, _ in seen):
            os.kill(pids[0], signal.SIGKILL)
        seen.append((done, total))

    shared = cluster.run(work, "auto", Journal(tmp_path / "ray", work.key), kill_once)
    assert_same(work.run(Journal(tmp_path / "alone", work.key)), shared)
    assert seen[-1][0] == seen[-1][1] > 0
    assert shared.device == "2 workers: cpu (fp32)"
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_the_command_puts_the_same_record_on_the_board(
    two_nodes: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import torch\ndef net():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    words = "evaluate mine.py:net --examples 60 --threat linf:0.1,l2:0.3 --precision fp32"
    for board, ray_too in (("alone", []), ("shared", ["--ray", "auto"])):
        options = [*words.split(), "--display", "none", "--board", board, *ray_too]
        done = CliRunner().invoke(main, options)
        assert done.exit_code == 0, done.output
    (alone,), (shared,) = (Board(tmp_path / name).records() for name in ("alone", "shared"))
    assert alone.measured == shared.measured
    assert alone.protocol == shared.protocol
    assert shared.environment.device == "2 workers: cpu (fp32)"


def test_examples_that_always_crash_their_worker_end_the_run_with_advice(
    two_nodes: None, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "RETRIES", 1)
    work = evaluation(folder, "deadly", n=12)
    with pytest.raises(CrossfireError, match=r"workers were lost 2 times.*--batch-size") as caught:
        cluster.run(work, "auto", Journal(tmp_path, work.key))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:1"])
def test_an_unreachable_address_is_an_immediate_error_of_one_line(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (
        pytest.raises(CrossfireError, match=f"no Ray cluster responds at '{address}'") as caught,
        pool.connected(address),
    ):
        pass
    assert "\n" not in str(caught.value)

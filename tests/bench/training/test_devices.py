"""Training on two devices gives the same weights as on one."""

import csv
import subprocess
import sys
from pathlib import Path
from socket import socket

import pytest
import torch
from click.testing import CliRunner

from bench.cli import main
from bench.models.checkpoint import load
from tests.small import sha256

SCRIPT = """
import torch
from bench.cli import main

torch.set_num_threads(1)
main()
"""
STOPPED = """
import sys
from pathlib import Path

import torch
from bench.threats import Threat
from bench.training import Job, run
from defenses.free import Free

torch.set_num_threads(1)
run.SECONDS_BETWEEN_SAVES = 0.0
folder, show = Path(sys.argv[1]), run.Run._show

def stop(training):
    if training._epoch == 1 and training._step == 2:
        raise KeyboardInterrupt
    show(training)

small = {"arch": "preactresnet10-w2", "examples": 66, "batch_size": 33, "epochs": 2}
on_two = {"device": "cpu", "devices": 2, "precision": "fp32"}
job = Job(folder / "whole", (Threat.parse("linf:0.1"),), **small, **on_two)
Free(replays=2).fit(job)
run.Run._show = stop
try:
    Free(replays=2).fit(job.with_settings(out=folder / "stopped"))
except KeyboardInterrupt:
    run.Run._show = show
    Free(replays=2).fit(job.with_settings(out=folder / "stopped"))
    (folder / "resumed").touch()
"""
SMALL = ("--arch", "cnn-w4", "--examples", "64", "--batch-size", "32", "--epochs", "2")
PLAIN = ("--device", "cpu", "--precision", "fp32", "--display", "none", "--average", "0.9")
TRAIN = ("train", "at", *SMALL, *PLAIN)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    out = tmp_path_factory.mktemp("one")
    assert CliRunner().invoke(main, [*TRAIN, "--out", str(out)]).exit_code == 0
    return out


def assert_same(one: Path, two: Path) -> None:
    (expected, found), (net, other) = (load(run / "last.safetensors") for run in (one, two))
    for p, q in zip(expected.parameters(), net.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-6)
    assert found.forward_passes == other.forward_passes == 2 * 64 * 11


def costs(run: Path) -> dict[str, str]:
    row = list(csv.DictReader((run / "log.csv").read_text().splitlines()))[-1]
    return {
        k: n for k, n in row.items() if k.endswith(("passes", "forwards", "backwards", "_bits"))
    }


@pytest.fixture
def script(tmp_path: Path) -> str:
    """A file, because further processes run it too."""
    (tmp_path / "script.py").write_text(SCRIPT)
    return str(tmp_path / "script.py")


def test_two_processes_train_the_same_network_as_one(
    one: Path, script: str, tmp_path: Path
) -> None:
    command = [sys.executable, script, *TRAIN, "--out", str(tmp_path / "two"), "--devices", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert len(done.stdout.splitlines()) == 1
    assert_same(one, tmp_path / "two")


def test_two_processes_log_the_passes_of_both(one: Path, script: str, tmp_path: Path) -> None:
    teaching = ("train", "teacher-student", "--teacher", str(one), "--steps", "1", *SMALL, *PLAIN)

    def counts(out: Path, devices: str) -> dict[str, str]:
        command = [sys.executable, script, *teaching, "--out", str(out), "--devices", devices]
        subprocess.run(command, capture_output=True, check=True, timeout=100)
        return costs(out)

    alone = counts(tmp_path / "alone", "1")
    assert len(alone) == 6
    assert counts(tmp_path / "both", "2") == alone


def test_two_processes_end_in_the_same_weights_after_a_stop(tmp_path: Path) -> None:
    """With batch normalisation, a perturbation that is carried on, and shares of 17 and 16."""
    (tmp_path / "script.py").write_text(STOPPED)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (tmp_path / "resumed").exists(), done.stderr
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert sha256(whole) == sha256(stopped)
    assert costs(whole) == costs(stopped)


def test_two_nodes_under_torchrun_train_the_same_network_as_one(
    one: Path, script: str, tmp_path: Path
) -> None:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    agents = []
    launch = (sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1")
    work = (script, *TRAIN, "--nodes", "2", "--out", str(tmp_path / "two"))
    for node in range(2):
        where = (f"--node-rank={node}", "--master-addr=127.0.0.1", f"--master-port={port}")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        agents.append(subprocess.Popen([*launch, *where, *work], **pipes))
    for agent in agents:
        output, _ = agent.communicate(timeout=100)
        assert agent.returncode == 0, output
    assert_same(one, tmp_path / "two")

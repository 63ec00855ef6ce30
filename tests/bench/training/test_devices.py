"""Training on two devices gives the same weights as on one."""

import subprocess
import sys
from pathlib import Path
from socket import socket

import torch

from bench.models.checkpoint import load

SCRIPT = """
import torch
from bench.cli import main

torch.set_num_threads(1)
main()
"""
SMALL = ("--arch", "cnn-w4", "--examples", "64", "--batch-size", "32", "--epochs", "2")
PLAIN = ("--device", "cpu", "--precision", "fp32", "--display", "none", "--average", "0.9")


def test_two_processes_train_the_same_network_as_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # a file, because the second process runs it too
    script.write_text(SCRIPT)

    def train(devices: str) -> subprocess.CompletedProcess[str]:
        out = ("--out", str(tmp_path / devices), "--devices", devices)
        command = [sys.executable, str(script), "train", "at", *SMALL, *PLAIN, *out]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)

    lines = [train(devices).stdout.splitlines() for devices in ("1", "2")]
    assert [len(printed) for printed in lines] == [1, 1]
    (one, found), (two, other) = (load(tmp_path / name / "last.safetensors") for name in "12")
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-6)
    assert found.forward_passes == other.forward_passes == 2 * 64 * 11


def test_two_nodes_under_torchrun_train_the_same_network_as_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    agents = []
    for node in range(2):
        launcher = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nnodes=2",
            "--nproc-per-node=1",
        ]
        where = [f"--node-rank={node}", "--master-addr=127.0.0.1", f"--master-port={port}"]
        work = [str(script), "train", "at", *SMALL, *PLAIN, "--nodes", "2"]
        out = ["--out", str(tmp_path / "two")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        agents.append(subprocess.Popen([*launcher, *where, *work, *out], **pipes))
    for agent in agents:
        output, _ = agent.communicate(timeout=100)
        assert agent.returncode == 0, output
    alone = [sys.executable, str(script), "train", "at", *SMALL, *PLAIN]
    subprocess.run([*alone, "--out", str(tmp_path / "one")], check=True, capture_output=True)
    (one, _), (two, _) = (load(tmp_path / name / "last.safetensors") for name in ("one", "two"))
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-6)

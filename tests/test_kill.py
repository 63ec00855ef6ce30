"""SIGKILL at random times, then the same command: it resumes, and the flags are the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLER = """
import json, os, random, signal, sys, time

import pandas, pyarrow.parquet, sklearn.datasets
import bench.evaluation.engine, bench.measurement, bench.training.run
from bench.cli import main

# Save often, so that kills of a short run hit every state of a long one.
bench.evaluation.engine.SAVE_EVERY = bench.training.run.SECONDS_BETWEEN_SAVES = 0.05


def killed(command, patience):
    kills = 0
    while True:
        child, deadline = os.fork(), time.monotonic() + random.uniform(0, patience)
        if not child:
            main(command)
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.01)
        if ended[0]:
            return kills, os.waitstatus_to_exitcode(ended[1])
        kills, patience = kills + 1, 1.4 * patience


random.seed(0)
folder, *commands = json.loads(sys.argv[1])
patiences = [1e9, 1e9]
for name in ("uninterrupted", "killed"):
    os.makedirs(os.path.join(folder, name))
    os.chdir(os.path.join(folder, name))
    results = []
    for index, command in enumerate(commands):
        began = time.monotonic()
        results.append(killed([*command, "--display", "none"], patiences[index]))
        patiences[index] = (time.monotonic() - began) / 4
print(json.dumps(results))
"""
"""Runs commands twice: uninterrupted, and killed at increasing random times until they end."""


def flags(board: Path) -> dict[str, str]:
    (path,) = board.glob("records/*.json")
    record = json.loads(path.read_text())
    verdicts = {verdict["threat"]: verdict["flags"] for verdict in record["verdicts"]}
    return {"clean": record["clean"], "union": record["union"], **verdicts}


@pytest.mark.timeout(240)
def test_killed_commands_end_in_the_flags_of_uninterrupted_ones(tmp_path: Path) -> None:
    train = "train at --arch cnn-w4 --epochs 5 --steps 1 --threat linf:0.05 --device cpu --out net"
    evaluate = "evaluate net --threat linf:0.05,l2:0.2 --examples 64 --device cpu"
    plan = json.dumps([str(tmp_path), train.split(), evaluate.split()])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLER, plan],
        capture_output=True,
        text=True,
        check=True,
    )
    results = json.loads(done.stdout.splitlines()[-1])
    assert all(kills >= 2 and code == 0 for kills, code in results), done.stderr
    expected, found = (flags(tmp_path / name / "board") for name in ("uninterrupted", "killed"))
    assert set(expected["union"]) != {"0"}
    assert expected["union"] != expected["clean"]
    assert found == expected

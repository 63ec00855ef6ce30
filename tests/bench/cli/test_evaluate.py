import dataclasses
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.data import load
from bench.evaluation.settings import Settings
from bench.measurement import Measurement
from bench.models import checkpoint
from bench.plugins.registry import get_defense
from leaderboard.store import Board
from tests.small import small_job


def run(*words: object) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_no_images_omits_them_and_the_record_says_so(tmp_path: Path) -> None:
    get_defense("undefended")().fit(small_job(tmp_path / "run", epochs=1))
    common = (tmp_path / "run", "--threat", "linf:0.1", "--examples", 8, "--device", "cpu")
    run("evaluate", *common, "--no-images", "--board", tmp_path / "bare")
    run("evaluate", *common, "--board", tmp_path / "full")
    (bare,), (full,) = (Board(tmp_path / name).records() for name in ("bare", "full"))
    assert bare.evidence is not None
    assert bare.evidence.adversarial is None
    assert full.evidence is not None
    assert full.evidence.adversarial is not None
    assert bare.measured == full.measured
    output = run("verify", Board(tmp_path / "bare").path(bare))
    assert output.startswith("VALID")
    assert "left out: V07, V08, V10" in output


@pytest.mark.parametrize("command", ["evaluate", "doctor"])
@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_generator_takes_is_refused_in_one_line(command: str, seed: int) -> None:
    result = CliRunner().invoke(main, [command, "model", "--seed", str(seed)])
    assert result.exit_code == 2
    assert "Invalid value for '--seed'" in result.stderr


def test_keep_weights_stores_the_weights_of_an_existing_record_too(tmp_path: Path) -> None:
    get_defense("undefended")().fit(small_job(tmp_path / "run", epochs=1))
    board = Board(tmp_path / "board")
    words = ("evaluate", tmp_path / "run", "--threat", "linf:0.1", "--examples", 8)
    words = (*words, "--device", "cpu", "--board", board.folder)
    run(*words)
    (record,) = board.records()
    assert not board.weights(record).exists()
    assert "measured before" in run(*words, "--keep-weights")
    assert board.records() == [record]
    checkpoint = tmp_path / "run" / "best.safetensors"
    assert board.weights(record).read_bytes() == checkpoint.read_bytes()


def test_keep_weights_of_other_models_is_refused_before_the_attack(tmp_path: Path) -> None:
    program = tmp_path / "mine.py"
    program.write_text(
        "import torch\n\ndef model():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    words = ["evaluate", f"{program}:model", "--keep-weights", "--board", str(tmp_path / "board")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "leave out --keep-weights" in result.stderr
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize("command", ["evaluate", "doctor"])
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("robustbench:cifar10/Linf/Wong2020Fast", "cifar10 needs torchvision"),
        ("robustbench:imagenet/Linf/Wong2020Fast", "unknown data set 'imagenet'; choose from"),
    ],
)
def test_a_model_of_robustbench_is_measured_on_the_data_set_of_its_id(
    command: str, spec: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    result = CliRunner().invoke(main, [command, spec])
    assert result.exit_code == 2
    assert message in result.stderr


def test_without_a_model_runs_of_other_data_are_left_out(tmp_path: Path) -> None:
    get_defense("undefended")().fit(small_job(tmp_path / "runs" / "digits", epochs=1))
    np.savez(
        tmp_path / "grey.npz",
        **{"x_train": np.full((9, 8, 8), 200, np.uint8), "y_train": np.arange(9) % 3},
        **{"x_test": np.full((3, 8, 8), 200, np.uint8), "y_test": np.arange(3)},
    )
    where = ("--runs", tmp_path / "runs", "--board", tmp_path / "board")
    output = run(
        "evaluate", "--dataset", f"npz:{tmp_path}/grey.npz", "--threat", "linf:0.1", *where
    )
    assert output.startswith("left out: ")
    assert "is for 1 channels and 10 classes" in output


def test_a_record_identifies_its_data_by_content(tmp_path: Path) -> None:
    digits, file = load("digits"), tmp_path / "mine.npz"
    parts = {"train": digits.train, "test": digits.test}
    pixels = {f"x_{part}": split.images[:, 0].numpy() for part, split in parts.items()}
    labels = {f"y_{part}": split.labels.numpy() for part, split in parts.items()}
    np.savez(file, **pixels, **labels)
    get_defense("undefended")().fit(small_job(tmp_path / "run", epochs=1))
    net, made = checkpoint.load(tmp_path / "run")
    config = made.config | {"training": made.config["training"] | {"dataset": f"npz:{file}"}}
    trained = {"dataset": f"npz:{file}", "data_sha256": digits.train.sha256(), "config": config}
    checkpoint.save(tmp_path / "run", "best", net, dataclasses.replace(made, **trained))
    words = ("evaluate", tmp_path / "run", "--threat", "linf:0.1", "--examples", 8)
    words = (*words, "--device", "cpu", "--board", tmp_path / "board")
    run(*words, "--keep-weights")
    board = Board(tmp_path / "board")
    (record,) = board.records()
    assert record.data.name == record.data.called == "digits"
    assert "--dataset digits" in record.command
    assert "mine.npz" not in board.path(record).read_text()
    assert b"mine.npz" not in board.weights(record).read_bytes()
    assert checkpoint.load(board.weights(record))[1].dataset == "digits"
    assert "measured before" in run(*words, "--dataset", "digits")
    assert run("verify", board.path(record)).startswith("VALID")


def test_another_arithmetic_makes_another_record(tmp_path: Path) -> None:
    get_defense("undefended")().fit(small_job(tmp_path / "run", epochs=1))
    board = ("--board", tmp_path / "board")
    measure = ("evaluate", tmp_path / "run", "--threat", "linf:0.1", "--examples", 8, *board)
    cpu = ("--device", "cpu", "--precision")
    assert "measured before" not in run(*measure, *cpu, "bf16")
    assert "measured before" not in run(*measure, *cpu, "fp32")
    assert "measured before" in run(*measure, *cpu, "fp32")
    assert "measured before" in run(*measure, *cpu, "auto")
    records = Board(tmp_path / "board").records()
    assert sorted(record.environment.precision for record in records) == ["bf16", "fp32"]
    (row,) = json.loads(run("report", *board, "--format", "json"))[0]
    assert row["arithmetic"] == "fp32"
    ids = [record.id[:8] for record in records]
    assert "fp32" in run("compare", *ids, *board)


def test_an_evaluation_imports_no_more_than_it_needs(tmp_path: Path) -> None:
    get_defense("undefended")().fit(small_job(tmp_path / "run", epochs=1))
    code = """
import sys
from bench.cli import main
try:
    main(["evaluate", "run", "--threat", "linf:0.1", "--examples", "8", "--display", "plain"])
except SystemExit as end:
    assert not end.code, end.code
heavy = {"lightning_fabric", "torchvision", "sklearn", "scipy", "matplotlib", "PIL", "triton"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_random_model_is_measured_anew_if_another_number_of_passes_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        return (x + 0.1 * torch.randn_like(x)).flatten(1)[:, :10]


def model():
    return Net()
"""
    fresh, file = [], tmp_path / "mine.py"
    file.write_text(code)
    for votes in (99, 99, 9):
        monkeypatch.setattr("bench.evaluation.gates.VOTES", votes)
        settings = Settings(threat="linf:0.05", device="cpu")
        measurement = Measurement(settings, examples=24, board=tmp_path / "board")
        fresh.append(measurement.measure(f"{file}:model", lambda *_: None)[1])
    assert fresh == [True, False, True]


def test_a_model_whose_code_changed_is_measured_anew(tmp_path: Path) -> None:
    code = """
import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        return SIGN * x.flatten(1)[:, :10]


def model():
    return Net()
"""
    fresh, file = [], tmp_path / "mine.py"
    for sign in ("1", "1", "-1"):
        file.write_text(code.replace("SIGN", sign))
        settings = Settings(threat="linf:0.05", device="cpu")
        measurement = Measurement(settings, examples=24, board=tmp_path / "board")
        fresh.append(measurement.measure(f"{file}:model", lambda *_: None)[1])
    assert fresh == [True, False, True]


def test_the_command_of_a_record_names_all_that_it_depends_on(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n\ndef model():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    common = ("evaluate", f"{file}:model", "--threat", "linf:0.1", "--examples", 8)
    board = ("--device", "cpu", "--board", tmp_path / "board")
    choices = [(), ("--seed", 5), ("--normalize", "0.5,0.5")]
    choices += [("--threat", "linf:0.1,l2:1", "--union-only"), ("--suite", "apgd-ce")]
    for chosen in choices:
        assert "measured before" not in run(*common, *chosen, *board), chosen
    records = Board(tmp_path / "board").records()
    assert len(records) == len(choices)
    for record in records:
        board = tmp_path / record.id[:8]
        run(*shlex.split(record.command)[1:], "--device", "cpu", "--board", board)
        (again,) = Board(board).records()
        assert again.protocol == record.protocol, record.command
        assert again.model.weights_sha256 == record.model.weights_sha256, record.command
        assert again.measured == record.measured, record.command

"""A user's own models and data, end to end: on the command line and from Python."""

import pickle
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from bench import evaluate
from bench.cli import main
from bench.data import load
from bench.models import build
from bench.models.sources import find, zoo
from leaderboard.schema import Record
from leaderboard.store import Board

THREAT = "linf:8/255"
SIDE = 18


def pictures(folder: Path, model: nn.Module) -> str:
    """Noise images in folders named after the model's predictions; the data set's spec."""
    pixels = torch.randint(0, 256, (4, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = model.eval()(pixels.float() / 255).argmax(1).tolist()
    names = ("ant", "bee", "cat")
    for index, label in enumerate(labels):
        file = folder / names[label] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[index].permute(1, 2, 0).numpy().astype(np.uint8)).save(file)
    (folder / "classes.txt").write_text("\n".join(names))
    return f"folder:{folder}"


def from_command_line(folder: Path, *arguments: object) -> Record:
    board = ["--board", folder / "board", "--display", "none", "--precision", "fp32"]
    words = [str(word) for word in ("evaluate", *arguments, "--threat", THREAT, *board)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    (record,) = Board(folder / "board").records()
    return record


def from_python(spec: str, dataset: str, **options: Path) -> dict[str, float]:
    data = load(dataset)
    model = find(spec, data, **options).model
    settings = {"threat": THREAT, "precision": "fp32", "display": "none"}
    outcome = evaluate(model, data.test.images, data.test.labels, **settings)
    table = outcome.table()
    assert len(table) == len(data.test)
    return {name: outcome.accuracy(name) for name in ("clean", "union")}


def accuracies(record: Record) -> dict[str, float]:
    shares = record.measured
    counts = {name: bin(int(shares[name], 16)).count("1") for name in ("clean", "union")}
    return {name: count / record.data.examples for name, count in counts.items()}


def test_an_undefended_timm_model_is_broken_on_a_folder_of_images(tmp_path: Path) -> None:
    timm: Any = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=3)
    weights = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), weights)
    spec, dataset = "timm:test_efficientnet", pictures(tmp_path / "pictures", model)
    record = from_command_line(tmp_path, spec, "--weights", weights, "--dataset", dataset)
    found = accuracies(record)
    assert found["clean"] == 1.0
    assert found["union"] < 0.5
    assert record.model.arch == "test_efficientnet"
    assert from_python(spec, dataset, weights=weights) == found


def test_a_function_in_a_file_is_a_model(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "def linear():\n"
        "    torch.manual_seed(0)\n"
        f"    return nn.Sequential(nn.Flatten(), nn.Linear({3 * SIDE * SIDE}, 3))\n"
    )
    torch.manual_seed(0)
    same = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 3))
    spec, dataset = f"{tmp_path / 'mine.py'}:linear", pictures(tmp_path / "pictures", same)
    found = accuracies(from_command_line(tmp_path, spec, "--dataset", dataset))
    assert found["clean"] == 1.0
    assert found["union"] < 0.5
    assert from_python(spec, dataset) == found


@pytest.mark.skipif(find_spec("robustbench") is None, reason="the extra zoo is not installed")
def test_a_zoo_architecture_is_evaluated_with_local_weights(tmp_path: Path) -> None:
    name = "cifar10/L2/Rice2020Overfitting"
    torch.manual_seed(0)
    model = zoo._entries(zoo._import(name))[name]["model"]().eval()
    torch.save(model.state_dict(), tmp_path / "zoo.pt")
    pixels = np.random.RandomState(0).randint(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    with torch.no_grad():
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        labels = model(x).argmax(1).numpy()
    train = np.zeros((10, 32, 32, 3), np.uint8)
    arrays = {"x_train": train, "y_train": np.arange(10), "x_test": pixels, "y_test": labels}
    np.savez(tmp_path / "noise.npz", **arrays)
    dataset = f"npz:{tmp_path / 'noise.npz'}"
    spec, weights = f"robustbench:{name}", tmp_path / "zoo.pt"
    record = from_command_line(tmp_path, spec, "--weights", weights, "--dataset", dataset)
    found = accuracies(record)
    assert found["clean"] == 1.0
    assert record.model.arch == "Rice2020Overfitting"


def test_digits_need_no_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for module in ("torchvision", "torchvision.datasets"):
        monkeypatch.setitem(sys.modules, module, None)
    small = ["--arch", "cnn-w4", "--examples", "32", "--epochs", "1", "--display", "none"]
    trained = CliRunner().invoke(main, ["train", "at", *small])
    assert trained.exit_code == 0, trained.output
    words = ["--examples", "16", "--threat", "linf", "--display", "none"]
    measured = CliRunner().invoke(main, ["evaluate", *words])
    assert measured.exit_code == 0, measured.output
    refused = CliRunner().invoke(main, ["train", "at", *small, "--dataset", "cifar10"])
    assert refused.exit_code == 2
    assert "cifar10 needs torchvision, which does not work here" in refused.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nothing", "there is no model 'nothing'"),
        ("wrn.pt --arch cnn", "the weights are of another architecture"),
        ("wrn.pt --arch wrn-10-1", "'fc.weight' has shape (7, 64) in place of (10, 64)"),
        ("trap.pt --arch cnn", "could run any code"),
        ("mine.py:colour", "does not take the images of digits, 1x8x8"),
        ("mine.py:few", "gives 3 logits but digits has 10 classes"),
        ("mine.py:net --ray 127.0.0.1:1", "no Ray cluster responds at '127.0.0.1:1'"),
        ("mine.py:net --dataset folder:nowhere", "there is no folder nowhere"),
        ("mine.py:net --budgets mine.toml", "cannot read budgets from mine.toml"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2_and_no_record(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "--ray" in words:
        pytest.importorskip("ray")
    Path("mine.py").write_text(
        "from torch.nn import Conv2d, Flatten, Linear, Sequential\n"
        "def net():\n    return Sequential(Flatten(), Linear(64, 10))\n"
        "def few():\n    return Sequential(Flatten(), Linear(64, 3))\n"
        "def colour():\n    return Sequential(Conv2d(3, 1, 8), Flatten())\n"
    )
    torch.save(build("wrn-10-1", classes=7, channels=1, size=(8, 8)).state_dict(), "wrn.pt")
    Path("trap.pt").write_bytes(pickle.dumps(pytest.fail))
    done = CliRunner().invoke(main, ["evaluate", *words.split(), "--threat", "union"])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(Path("board").glob("records/*"))

"""A user's own network, and those of libraries, trained by our defenses."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from bench.cli import main
from bench.data import load as load_data
from bench.errors import CrossfireError
from bench.measurement import Measurement
from bench.models import EXTRA, checkpoint
from bench.models.sources import find
from bench.training import Run, run
from defenses.at import AT
from defenses.mat import MAT
from defenses.undefended import Undefended
from leaderboard.store import Board
from tests.small import first_batch, sha256, small_job

MINE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, stride=2)
        self.body = nn.Sequential(self.first, nn.ReLU(), nn.Flatten())  # two names for one layer
        self.last = nn.LazyLinear(classes)

    def forward(self, x):
        return self.last(self.body((x - 0.5) / 0.25))

class Auxiliary(Net):
    def forward(self, x):
        return (super().forward(x), x) if self.training else super().forward(x)

class Extra(Net):
    def get_extra_state(self):
        return {"epoch": 3}

def net():
    return Net()

def few():
    return Net(5)

def auxiliary():
    return Auxiliary()

def extra():
    return Extra()

def frozen():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10).requires_grad_(False))

def colour():
    return nn.Sequential(nn.Conv2d(3, 10, 8), nn.Flatten())

def word():
    return "net"

def fails():
    return 1 / 0

def needs(classes):
    return Net(classes)

def small():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def shared():
    from block import BLOCK
    return nn.Sequential(nn.Flatten(), BLOCK)
"""
SMALL = ("--examples", "64", "--epochs", "1", "--display", "none", "--device", "cpu")
MEASURED = ("--threat", "linf:0.1", "--examples", "16", "--device", "cpu", "--display", "none")
ARCH = "mine.py:net"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)
    Path("block.py").write_text("from torch import nn\n\nBLOCK = nn.Linear(64, 10)\n")


def bench(*words: str) -> Result:
    EXTRA.clear()  # as in a process of its own
    return CliRunner().invoke(main, list(words))


def trained(arch: str = ARCH, out: str = "runs/own") -> None:
    done = bench("train", "at", "--steps", "1", "--arch", arch, *SMALL, "--out", out)
    assert done.exit_code == 0, done.output


def test_it_is_trained_as_it_is_and_the_checkpoint_names_it() -> None:
    trained()
    tensors, _ = checkpoint.read(Path("runs/own/best.safetensors"))
    assert set(tensors) == {
        f"{name}.{kind}" for name in ("first", "body.0", "last") for kind in ("weight", "bias")
    }
    assert checkpoint.metadata_of(Path("runs/own")).arch == ARCH


def test_its_weights_follow_from_the_seed_and_the_role() -> None:
    def weights(role: str = "net", **settings: int) -> torch.Tensor:
        net = small_job(Path("x"), arch=ARCH, **settings).model(role)
        assert net.training
        return net.body.last.weight

    assert torch.equal(weights(), weights())
    assert not torch.equal(weights(), weights("peer"))
    assert not torch.equal(weights(), weights(seed=1))


def test_a_checkpoint_runs_no_code_of_its_own_and_says_how_to_evaluate_it() -> None:
    trained()
    Path("mine.py").write_text("raise RuntimeError('this ran')")
    done = bench("evaluate", "runs/own", *MEASURED)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line == (
        "error: runs/own/best.safetensors: it is a mine.py:net, and no checkpoint runs code by "
        "itself; add --arch mine.py:net, or name a teacher by FILE.py:FUNCTION, which returns it "
        "with its weights"
    )


def test_its_record_is_that_of_a_checkpoint_and_other_spellings_give_the_same_numbers() -> None:
    trained()
    spellings = (("runs/own", "--arch", ARCH), (ARCH, "--weights", "runs/own"))
    for words, board in zip(spellings, ("a", "b"), strict=True):
        assert bench("evaluate", *words, "--board", board, *MEASURED).exit_code == 0
    (own,), (other,) = (Board(Path(board)).records() for board in ("a", "b"))
    assert own.measured == other.measured
    assert own.model.weights_sha256 == other.model.weights_sha256
    assert (own.model.defense, own.model.arch, other.model.defense) == ("at", ARCH, None)


def test_the_data_are_those_that_the_weights_were_trained_on() -> None:
    part = load_data("digits").train.take(80)
    pixels, labels = part.images[:, 0].numpy(), part.labels.numpy()
    np.savez("own.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    Undefended().fit(small_job(Path("own"), arch=ARCH, dataset="npz:own.npz"))
    loaded, evaluation = Measurement(weights=Path("own")).prepare(ARCH)
    assert loaded.name == "mine:net"
    assert len(evaluation.examples.images) == 80


def test_among_several_runs_it_is_named_and_left_out() -> None:
    trained()
    trained("cnn-w4", "runs/zzz")
    done = bench("evaluate", *MEASURED)
    assert (done.exit_code, done.stderr.count("\n")) == (0, 1)
    assert done.stderr.startswith("left out: runs/own/best.safetensors: it is a mine.py:net")
    assert done.stdout.startswith("zzz: clean")
    done = bench("evaluate", "--arch", ARCH, *MEASURED)
    assert done.stdout.startswith("own: clean")
    assert "zzz is a cnn-w4; leave out --arch mine.py:net" in done.stderr


def test_a_record_is_verified_when_the_code_is_named() -> None:
    trained()
    assert bench("evaluate", "runs/own", "--arch", ARCH, *MEASURED).exit_code == 0
    (path,) = Path("board/records").glob("*.json")
    assert "PARTLY CHECKED" in bench("verify", str(path)).stdout
    assert bench("verify", str(path), "--arch", ARCH).stdout.startswith("VALID")


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("mine.py", r"write mine\.py:FUNCTION, the function in this file that returns the model"),
        ("mine.py:none", "mine.py defines no 'none' to call"),
        ("none.py:net", "there is no file none.py"),
        ("mine.py:fails", r"fails when it is called \(ZeroDivisionError: division by zero\)"),
        ("mine.py:needs", r"fails when it is called \(TypeError: needs\(\) missing 1 required"),
        ("mine.py:word", "mine.py:word gives a str, not a torch.nn.Module"),
        ("mine.py:few", "mine.py:few gives 5 logits but digits has 10 classes"),
        ("mine.py:colour", "mine.py:colour does not take the images of digits, 1x8x8"),
        ("mine.py:auxiliary", r"mine.py:auxiliary must return logits of shape \(n, classes\)"),
        ("mine.py:shared", "mine.py:shared returns the same module each time; build it in"),
        ("mine.py:extra", "'_extra_state' of the model is a dict, not a tensor"),
        ("mine.py:frozen", "mine.py:frozen has no weights to train"),
        ("torchvision:resnet", "there is no model 'torchvision:resnet'; closest: .*resnet"),
        ("torchvision:resnet18", "torchvision:resnet18 does not take the images of digits"),
        ("torchvision:fcn_resnet50", "there is no model 'torchvision:fcn_resnet50'"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(arch: str, message: str) -> None:
    with pytest.raises(CrossfireError, match=message) as caught:
        AT().fit(small_job(Path("out"), arch=arch))
    assert "\n" not in str(caught.value)
    assert not Path("out").exists()


def test_it_resumes_with_the_step_after_the_last_saved_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(done: int, total: int, text: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    def weights(folder: str) -> dict[str, torch.Tensor]:
        return checkpoint.read(Path(folder, "last.safetensors"))[0]

    monkeypatch.setattr(run, "SECONDS_BETWEEN_SAVES", 0.0)
    AT(steps=1).fit(small_job(Path("whole"), arch=ARCH))
    with pytest.raises(KeyboardInterrupt):
        AT(steps=1).fit(small_job(Path("parts"), arch=ARCH, progress=stop))
    messages: list[str] = []
    for _ in range(2):
        AT(steps=1).fit(small_job(Path("parts"), arch=ARCH, notify=messages.append))
    whole, parts = weights("whole"), weights("parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert messages == ["parts is already trained; --no-resume (resume=False) trains it again"]


def test_peers_may_be_of_own_code_and_the_default_teacher_is_of_the_same() -> None:
    MAT(steps=1, peers=(ARCH,)).fit(small_job(Path("mat"), epochs=1))
    assert checkpoint.metadata_of(Path("mat/peer-2")).arch == ARCH
    trained()
    for words in ((), ("--teacher", "runs/own", "--out", "named")):
        done = bench("train", "teacher-student", "--steps", "1", "--arch", ARCH, *SMALL, *words)
        assert done.exit_code == 0, done.output
    assert Path("runs/teacher-student-amine.py-net/best.safetensors").exists()


def test_a_teacher_may_be_of_another_network_of_the_named_file_only() -> None:
    def distil(arch: str, teacher: str) -> Result:
        words = ("--teacher", teacher, "--steps", "1", "--out", "student")
        return bench("train", "teacher-student", *words, "--arch", arch, *SMALL)

    trained()
    done = distil("mine.py:small", "runs/own")
    assert done.exit_code == 0, done.output
    assert checkpoint.metadata_of(Path("student")).arch == "mine.py:small"
    done = distil("cnn-w4", "runs/own")
    assert done.exit_code == 2
    assert "name a teacher by FILE.py:FUNCTION, which returns it with its weights" in done.stderr


def test_a_network_without_an_architecture_is_refused_at_the_start() -> None:
    job = small_job(Path("out"))
    net = job.place(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "net")
    with pytest.raises(CrossfireError, match=r"'net' has no architecture .* --arch FILE.py:FUNC"):
        Run(job, AT(), net)


def test_torchvision_s_networks_are_trained_and_loaded_by_themselves() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    labels = np.arange(40) % 5
    np.savez("own.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    settings: dict[str, Any] = {"arch": "torchvision:shufflenet_v2_x0_5", "examples": 8}
    job = small_job(Path("own"), dataset="npz:own.npz", epochs=1, batch_size=4, **settings)
    Undefended().fit(job)
    by_itself = find("own", job.data)
    named = find(job.arch, job.data, weights=Path("own"))
    x = first_batch(job).x
    assert torch.equal(by_itself.model(x), named.model(x))
    assert (by_itself.arch, by_itself.defense) == (job.arch, "undefended")
    assert by_itself.weights_sha256 == named.weights_sha256 == sha256(Path("own"), "best")


def test_timm_s_networks_get_channels_and_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(model_name: str, num_classes: int, in_chans: int) -> nn.Module:
        assert (model_name, in_chans) == ("tiny.a1", 1)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

    timm = SimpleNamespace(list_models=lambda: ["tiny"], create_model=make)
    monkeypatch.setitem(sys.modules, "timm", timm)
    Undefended().fit(small_job(Path("own"), arch="timm:tiny.a1", epochs=1))
    assert find("own", load_data("digits")).arch == "timm:tiny.a1"


def test_a_checkpoint_is_built_by_the_file_of_its_name_wherever_that_lies_and_by_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "from torch import nn\n\ndef NAME():\n    return nn.Sequential(nn.Flatten(), "
    code += "nn.Linear(64, 10))\n"
    Path("mine.py").write_text(code.replace("NAME", "net") + code.replace("NAME", "other"))
    Undefended().fit(small_job(Path("run"), arch="mine.py:net", epochs=1))
    Path("elsewhere").mkdir()
    Path("mine.py").rename("elsewhere/mine.py")
    EXTRA.clear()
    found = find("run", load_data("digits"), arch="elsewhere/mine.py:net")
    assert (found.arch, found.defense) == ("mine.py:net", "undefended")
    for arch in ("elsewhere/mine.py:other", "cnn"):
        with pytest.raises(CrossfireError, match=r"is a mine\.py:net; leave out --arch"):
            find("run", load_data("digits"), arch=arch)

"""Bad input: one line that says how to correct it, exit code 2, and no earlier record changes."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from bench.cli import main
from bench.models import build, checkpoint
from bench.models.checkpoint import Metadata

METADATA = Metadata(
    defense="at",
    config={},
    dataset="digits",
    data_sha256="0" * 64,
    arch="cnn-w4",
    classes=10,
    channels=1,
    size=(8, 8),
    threats=("linf:0.25",),
    epoch=1,
    epochs=1,
    selected_on="heldout",
    seed=0,
    forward_passes=0,
    backward_passes=0,
    seconds=0.0,
    versions={},
    commit=None,
)
QUICK = ("--threat", "linf", "--examples", "8", "--display", "none", "--device", "cpu")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained checkpoint and a board that holds its record."""
    folder = tmp_path_factory.mktemp("evaluated")
    save_checkpoint(folder / "runs" / "good")
    done = run("evaluate", str(folder / "runs" / "good"), *QUICK, "--board", str(folder / "board"))
    assert done.exit_code == 0, done.output
    return folder


def save_checkpoint(folder: Path, classes: int = 10, offset: float = 0.0) -> None:
    torch.manual_seed(0)
    model = build("cnn-w4", classes=classes, channels=1, size=(8, 8))
    with torch.no_grad():
        next(model.parameters()).add_(offset)
    checkpoint.save(folder, "best", model, replace(METADATA, classes=classes))


Input = Callable[[Path], list[str]]


def missing(folder: Path) -> list[str]:
    return [str(folder / "nothing.safetensors")]


def truncated(folder: Path) -> list[str]:
    save_checkpoint(folder)
    path = folder / "best.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    return [str(path)]


def empty(folder: Path) -> list[str]:
    (folder / "best.safetensors").touch()
    return [str(folder)]


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


def pickled(folder: Path) -> list[str]:
    torch.save(Trap(folder / "unpickled"), folder / "net.pt")
    return [str(folder / "net.pt"), "--arch", "cnn-w4"]


def nan_weights(folder: Path) -> list[str]:
    save_checkpoint(folder, offset=float("nan"))
    return [str(folder)]


def class_count(folder: Path) -> list[str]:
    save_checkpoint(folder, classes=7)
    return [str(folder)]


def image_shape(folder: Path) -> list[str]:
    save_checkpoint(folder)
    return [str(folder), "--dataset", npz(folder, np.full((20, 12, 12, 3), 9, np.uint8))]


def npz(folder: Path, images: np.ndarray) -> str:
    labels = np.arange(len(images)) % 10
    path = folder / "data.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return f"npz:{path}"


def not_utf8(folder: Path) -> list[str]:
    file = folder / os.fsdecode(b"caf\xe9.py")
    file.write_text(
        "import torch\nmodel = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    return [f"{file}:model"]


def float_images(folder: Path) -> list[str]:
    save_checkpoint(folder)
    return [str(folder), "--dataset", npz(folder, np.full((20, 8, 8, 1), 255.0, np.float32))]


def source(body: str) -> Input:
    def write(folder: Path) -> list[str]:
        (folder / "mine.py").write_text(f"import torch\ndef model():\n    {body}\n")
        return [f"{folder / 'mine.py'}:model"]

    return write


def option(*words: str) -> Input:
    def good(folder: Path) -> list[str]:
        save_checkpoint(folder)
        return [str(folder), *words]

    return good


CASES: list[tuple[Input, str]] = [
    (missing, "name a checkpoint"),
    (truncated, "is not a complete safetensors file"),
    (empty, "is not a complete safetensors file"),
    (pickled, "net.pt"),
    (nan_weights, "holds NaN or infinity"),
    (class_count, "7 classes"),
    (image_shape, "3 and 10"),
    (not_utf8, r"caf\xe9.py:model' is not in UTF-8, as records are; rename it"),
    (float_images, "store pixels as uint8"),
    (source("return 1"), "mine.py:model"),
    (source("return torch.nn.Linear(3, 2)"), "does not take the images of digits"),
    (source("raise OSError('gone')"), "OSError: gone"),
    (source("syntax error"), "does not run: SyntaxError"),
    (option("--threat", "linf:0"), "must be greater than 0"),
    (option("--threat", "l2:-1"), "must be greater than 0"),
    (option("--threat", "l2:1e-400"), "must be greater than 0"),
    (option("--threat", "linf:8/x"), "is not a number"),
    (option("--threat", "l2:1e39"), "must be at most 1e+09"),
    (option("--threat", "linf:+8/255"), "is not a number such as 8/255 or 0.5"),
    (option("--threat", "l2:1_0/10"), "is not a number such as 8/255 or 0.5"),
    (option("--threat", "linf:nan"), "is not a number"),
    (option("--threat", "l2:1e400"), "is not a number"),
    (option("--threat", "linf:8"), "allows every image"),
    (option("--threat", "l3:1"), "is not NORM:EPSILON"),
    (option("--threat", ""), "is not NORM:EPSILON"),
    (option("--suite", "pgd100"), "did you mean 'pgd-100'"),
    (option("--dataset", "digts"), "did you mean 'digits'"),
    (option("--budgets", "croce"), "no budget set 'croce'"),
    (option("--examples", "100000"), "choose between 1 and"),
    (option("--examples", "0"), "--examples"),
    (option("--device", "cuda:99"), "cuda"),
    (option("--device", "abacus"), "abacus"),
    (option("--precision", "fp8"), "--precision"),
    (option("--treat", "linf"), "--threat"),
]


@pytest.mark.parametrize(("make", "advice"), CASES, ids=[advice for _, advice in CASES])
def test_bad_input_is_one_line(make: Input, advice: str, evaluated: Path, tmp_path: Path) -> None:
    before = contents(evaluated)
    arguments = make(tmp_path)
    done = run("evaluate", *QUICK, "--board", str(evaluated / "board"), *arguments)
    assert done.exit_code == 2, done.output
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert advice in lines[0]
    assert contents(evaluated) == before
    assert not (tmp_path / "unpickled").exists()


def test_the_same_model_is_not_evaluated_twice(evaluated: Path) -> None:
    before = contents(evaluated)
    good = str(evaluated / "runs" / "good")
    again = run("evaluate", good, *QUICK, "--board", str(evaluated / "board"))
    assert "measured before" in again.stdout
    assert contents(evaluated) == before


def test_without_a_checkpoint_the_error_names_the_training_command(tmp_path: Path) -> None:
    done = run("evaluate", "--runs", str(tmp_path))
    assert done.exit_code == 2
    assert "bench train" in done.stderr


def on_a_small_disk(folder: Path, model: str) -> None:
    """Evaluate, fill the disk, evaluate again; print whether the first record changed."""
    run("evaluate", model, *QUICK, "--board", str(folder / "board"))
    before = contents(folder / "board")
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    done = run("evaluate", model, *QUICK, "--seed", "1", "--board", str(folder / "board"))
    untouched = before.items() <= contents(folder / "board").items()
    sys.stdout.write(json.dumps([len(before), untouched, done.stderr]))
    sys.exit(done.exit_code)


def test_a_full_disk_is_an_error_of_one_line_and_changes_no_record(tmp_path: Path) -> None:
    apart = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    save_checkpoint(tmp_path / "good")
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path; from test_bad_input import on_a_small_disk
on_a_small_disk(Path('small'), 'good')
"""
    (tmp_path / "small").mkdir()
    mount = 'mount -t tmpfs -o size=256k small small && exec "$0" -c "$1"'
    done = subprocess.run(
        [*apart, "sh", "-c", mount, sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    files, untouched, line = json.loads(done.stdout)
    assert files == 3
    assert untouched
    assert line.startswith("error: cannot write")
    assert line.count("\n") == 1
    assert done.returncode == 2

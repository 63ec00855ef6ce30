"""`bench train`: a defense's fields are its options, and every error is one line."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from bench.cli import main
from bench.models.checkpoint import load

SMALL = ("--arch", "cnn-w4", "--examples", "64", "--epochs", "1", "--display", "none")

OWN = '''
"""A defense of a user's own."""
from dataclasses import dataclass, field
from bench.losses import cross_entropy
from bench.training import Job, Run, random_start

@dataclass(frozen=True)
class Noisy:
    """Ordinary training on randomly perturbed images."""

    scale: float = field(default=1.0, metadata={"help": "Size of the noise, in epsilons."})

    def fit(self, job: Job) -> None:
        net, threat = job.model(), job.threat
        run = Run(job, self, net)
        for batch in run:
            x = (batch.x + self.scale * random_start(batch, threat)).clamp(0, 1)
            run.step(cross_entropy(net(x), batch.y).mean())
'''


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["train", *arguments])


def test_it_saves_a_checkpoint_under_runs_and_prints_a_summary() -> None:
    done = train("at", *SMALL, "--steps", "2")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("runs/at-acnn-w4: held out clean ")
    _, found = load(Path("runs/at-acnn-w4"))
    assert found.config["steps"] == 2
    assert found.threats == ("linf:0.25",)


def test_the_summary_holds_accuracies_alone() -> None:
    done = train("l2l", *SMALL)
    assert done.exit_code == 0, done.output
    held = done.stdout.partition("held out ")[2].partition(";")[0]
    names = [part.split()[0] for part in held.split(", ")]
    assert names == ["clean", "linf:0.25", "union"]


def test_runs_with_different_options_have_different_folders() -> None:
    train("at", *SMALL, "--steps", "1", "--threat", "l2", "--seed", "3")
    assert Path("runs/at-l2-0.9-acnn-w4-s3/best.safetensors").exists()


def test_a_recipe_sets_the_options_that_are_not_given() -> None:
    done = train("at", *SMALL, "--recipe", "paper", "--steps", "1", "--out", "here")
    assert done.exit_code == 0, done.output
    _, found = load(Path("here"))
    assert found.config["training"]["schedule"] == "steps"
    assert found.config["training"]["drops"] == [100.0, 150.0]
    assert found.epochs == 1


def test_a_users_file_is_a_defense() -> None:
    Path("noisy.py").write_text(OWN)
    done = train("noisy.py", *SMALL, "--scale", "2")
    assert done.exit_code == 0, done.output
    _, found = load(Path("runs/noisy-acnn-w4"))
    assert found.defense == "noisy"
    assert found.config["scale"] == 2.0


@pytest.mark.parametrize(
    "field", ["lr", "batch_size", "recipe", "threat", "budgets", "out", "display"]
)
def test_a_field_with_the_name_of_an_option_of_every_training_is_refused(field: str) -> None:
    Path("noisy.py").write_text(OWN.replace("scale", field))
    done = train("noisy.py", *SMALL)
    assert done.exit_code == 2
    assert f"the field '{field}' of noisy.py has the name of an option" in done.stderr
    assert not Path("runs").exists()


def test_help_lists_defenses_and_their_options() -> None:
    assert "defenses/at.py" in train("--help").output
    text = train("at", "--help").output
    for option in ("--steps", "--awp", "--epochs", "--recipe [", "--average"):
        assert option in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("undefnded",), "unknown defense 'undefnded'; did you mean 'undefended'?"),
        (("at", "--epochs", "0"), "epochs must be 1 or more"),
        (("at", "--average", "1"), "average and momentum below 1"),
        (("at", "--threat", "union"), "is for one threat, not 3; choose with --threat"),
        (("at", "--threat", "linf:x"), "epsilon 'x' in 'linf:x' is not a number"),
        (("at", "--drops", "1;2"), "'1;2' is not a list such as 100,150"),
        (("at", "--arch", "vgg"), "unknown architecture 'vgg'"),
        (("at", "--dataset", "npz:none"), "there is no file none"),
        (("at", "--examples", "99999"), "there are 1211 examples"),
        (("at", "--recipe", "quick"), "'quick' is not one of"),
        (("l2l", "--attacker-steps", "0"), "attacker-steps must be 1 or more"),
        (("mat", "--warm-up", "2"), "warm-up must be from 0 to 1"),
        (("mine.py",), "there is no file mine.py"),
    ],
)
def test_an_error_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = train(*arguments, "--display", "none") if len(arguments) > 1 else train(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("defense", "options", "advice"),
    [
        ("undefended", ("--clip", "-1"), "clip must be 0 or more"),
        ("undefended", ("--momentum", "-0.5"), "momentum must be 0 or more"),
        ("undefended", ("--weight-decay", "-1"), "weight-decay must be 0 or more"),
        ("undefended", ("--seed", "9223372036854775808"), "seed must be from 0 to"),
        ("undefended", ("--drops", "2,1"), "ascending"),
        ("undefended", ("--lr", "inf"), "lr must be a finite number"),
        ("undefended", ("--arch", "preactresnet10-w8", "--batch-size", "1"), "raise --batch-size"),
        ("free", ("--replays", "0"), "replays must be 1 or more"),
        ("at", ("--steps", "0"), "steps must be 1 or more"),
        ("mat", ("--networks", "0", "--threat", "linf"), "networks must be 1 or more"),
        ("mat", ("--warm-up", "2"), "warm-up must be from 0 to 1"),
        ("l2l", ("--width", "-3"), "width must be 0 or more"),
        ("cat", ("--alpha", "1.5"), "alpha must be from 0 to 1"),
        ("teacher-student", ("--alpha", "1.5"), "alpha must be from 0 to 1"),
        ("teacher-student", ("--variant", "iad2", "--alpha", "0.8"), "0.8 + 0.25: lower one"),
        ("teacher-student", ("--queries", "0.1"), "queries is for variant active; leave it out"),
        ("teacher-student", ("--variant", "iad1", "--gamma", "0.1"), "choose variant iad2 with"),
        ("teacher-student", ("--variant", "active", "--alpha", "0.5"), "alpha is for variant ard"),
        ("teacher-student", ("--beta", "1"), "beta is for variant iad1 or iad2"),
        ("l2l", ("--steps", "20"), "steps is for variant multi-step; leave it out"),
        ("l2l", ("--variant", "naive", "--normalise", "example"), "normalise is for variant grad"),
        ("mat", ("--alpha", "1.5"), "lower alpha, or choose --combine add"),
    ],
)
def test_numbers_out_of_range_are_one_line(
    defense: str, options: tuple[str, ...], advice: str
) -> None:
    done = train(defense, *SMALL, *options)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert advice in line
    assert not Path("runs").exists()


def pixels(n: int, size: int) -> dict[str, np.ndarray]:
    return {
        f"{kind}_{part}": np.full((n, size, size), 9, np.uint8) if kind == "x" else np.arange(n) % 5
        for kind in "xy"
        for part in ("train", "test")
    }


def test_images_of_a_size_without_budgets_need_only_a_threat() -> None:
    np.savez("odd.npz", **pixels(40, 16))
    small = ("--arch", "cnn-w4", "--epochs", "1", "--dataset", "npz:odd.npz")
    done = train("at", *small, "--threat", "l2:1")
    assert done.exit_code == 0, done.output
    assert Path("runs/at-l2-1-npz-odd-acnn-w4/best.safetensors").is_file()
    assert "name threats" in train("at", *small).stderr


def test_some_images_are_held_out_however_small_the_classes_are() -> None:
    np.savez("few.npz", **pixels(20, 8))
    done = train("undefended", "--arch", "cnn-w4", "--epochs", "1", "--dataset", "npz:few.npz")
    assert done.exit_code == 0, done.output


def test_data_without_training_images_are_refused() -> None:
    for name in ("a/0.png", "b/0.png"):
        path = Path("pets", name)
        path.parent.mkdir(parents=True)
        Image.new("L", (8, 8)).save(path)
    done = train("undefended", *SMALL[:2], "--dataset", "folder:pets", "--threat", "linf:0.1")
    assert done.exit_code == 2, done.output
    assert "fewer than two training images" in done.stderr


def test_training_images_of_a_single_class_are_refused() -> None:
    arrays = pixels(20, 8)
    np.savez("one.npz", **arrays | {"y_train": np.zeros(20, np.int64)})
    done = train("undefended", *SMALL[:2], "--dataset", "npz:one.npz")
    assert done.exit_code == 2, done.output
    assert "the training images of npz:one.npz are all of one class; add others" in done.stderr

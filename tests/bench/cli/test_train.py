"""`bench train`: a defense's fields are its options, and every error is one line."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

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
        (("at", "--average", "1"), "average at least 0 and below 1"),
        (("at", "--threat", "union"), "is for one threat, not 3; choose with --threat"),
        (("at", "--threat", "linf:x"), "epsilon 'x' in 'linf:x' is not a number"),
        (("at", "--drops", "1;2"), "'1;2' is not a list such as 100,150"),
        (("at", "--arch", "vgg"), "unknown architecture 'vgg'"),
        (("at", "--dataset", "npz:none"), "there is no file none"),
        (("at", "--examples", "99999"), "there are 1211 examples"),
        (("at", "--recipe", "quick"), "'quick' is not one of"),
        (("l2l", "--attacker-steps", "0"), "attacker-steps must be 1 or more"),
        (("mat", "--warm-up", "2"), "warm-up is a share of the epochs: from 0 to 1"),
        (("mine.py",), "there is no file mine.py"),
    ],
)
def test_an_error_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = train(*arguments, "--display", "none") if len(arguments) > 1 else train(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("runs").exists()

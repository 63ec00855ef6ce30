"""The state of a campaign: what may start, and what is shown after the command has ended."""

from pathlib import Path

from click.testing import CliRunner

from bench.campaign.execution.state import State
from bench.cli import main
from tests.bench.campaign.execution.test_scheduler import plan


def test_the_checkpoints_of_one_training_are_measured_one_after_the_other(tmp_path: Path) -> None:
    text = "seeds = 2\n[train]\nepochs = 1\nexamples = 64\n\n"
    (tmp_path / "c.toml").write_text(text + '[[run]]\ndefense = "undefended"\n')
    arguments = ["run", str(tmp_path / "c.toml"), "--jobs", "2", "--display", "plain"]
    done = CliRunner().invoke(main, arguments)
    assert done.stdout == "6 steps: 6 done\n", done.stderr


def test_status_names_what_failed_after_the_command_has_ended(tmp_path: Path) -> None:
    steps = plan(tmp_path, '[[run]]\ndefense = "at"\n')
    state = State.load(steps, locked_here=True)
    state.fail(steps.steps["train at-0"], "it broke")
    state.save()
    seen = State.load(steps)
    assert (seen.count("failed"), seen.count("blocked")) == (1, 2)
    assert seen.entries["train at-0"].text == "it broke"
    assert State.load(steps, locked_here=True).count("waiting") == 3

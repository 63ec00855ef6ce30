"""The documentation: its commands parse, its links have targets, its defense trains."""

import contextlib
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner

from bench.cli import main
from bench.plugins.registry import get_defense
from bench.threats import Threat
from bench.training import Job
from leaderboard.flags import unpack
from leaderboard.store import Board
from tests.toy import linear_model

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("[!_]*/*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
WRITTEN = "\n".join(page.read_text() for page in PAGES)
COMMANDS = sorted(set(re.findall(r"^\$ (bench .*?) *(?:#.*)?$", WRITTEN, re.MULTILINE)))


def examples(page: str) -> list[str]:
    """The Python examples of a how-to guide, in order."""
    guide = (ROOT / "docs" / "how-to" / page).read_text()
    return re.findall(r"```python\n(.*?)```", guide, re.DOTALL)


def defense_of_the_guide() -> str:
    (code,) = examples("write-a-defense.md")
    return code


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_in_the_documents_exists(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "noisy.py").write_text(defense_of_the_guide())
    monkeypatch.chdir(tmp_path)
    _, *arguments = shlex.split(line)
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        name, found, arguments = command.resolve_command(context, arguments)
        assert name is not None
        assert found is not None
        context, command = click.Context(found, parent=context), found
    with contextlib.suppress(click.exceptions.Exit):  # the end of --help
        command.make_context(name, arguments, parent=context.parent)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_has_a_target(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_names_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"[$`] ?make ([a-z]+)", (ROOT / "README.md").read_text())
    assert {"demo", "test"} <= set(named) <= set(targets)


def test_the_defense_of_the_guide_trains(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(defense_of_the_guide())
    job = Job(tmp_path, (Threat.parse("linf:0.1"),), examples=64, epochs=1, device="cpu")
    get_defense(str(tmp_path / "noisy.py"))().fit(job)
    assert (tmp_path / "best.safetensors").exists()


def test_the_attack_of_the_guide_breaks_what_pgd_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "docs" / "how-to" / "write-an-attack.md").read_text()
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", guide, re.DOTALL):
        (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    (line,) = (line for line in COMMANDS if "adaptive.py" in line and "evaluate" in line)
    few = ["--threat", "linf:0.1", "--examples", "64", "--display", "none"]
    done = CliRunner().invoke(main, [*shlex.split(line)[1:], *few])
    assert done.exit_code == 0, done.output
    (record,) = Board(tmp_path / "board").records()
    pgd, own = (unpack(verdict.flags, 64).sum() for verdict in record.verdicts)
    assert own < pgd


def test_the_evaluation_in_python_runs() -> None:
    model, images = linear_model(0, (1, 6, 6), 4), torch.rand(8, 1, 6, 6)
    given = {"model": model, "images": images, "labels": model(images).argmax(1)}
    exec(examples("evaluate-your-model.md")[-1], given)


def test_the_examples_for_users_of_other_tools_are_one_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    made: dict[str, Any] = {}
    exec("\n".join(examples("coming-from-other-tools.md")), made)
    assert bool((made["model"](made["adversarial"]).argmax(1) != made["y"][made["places"]]).all())
    assert len(made["accuracies"]) == 3
    assert list(made["board"]["defense"]) == ["at"]
    assert len(made["figures"]) > 50


def test_no_page_is_longer_than_150_lines() -> None:
    assert [page.name for page in PAGES if len(page.read_text().splitlines()) > 150] == []

"""The command line: fast to start, documented, and one line for every error."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from bench.errors import CrossfireError

COMMANDS = main.list_commands(click.Context(main))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def heavy_modules(code: str, folder: Path) -> str:
    """The heavy packages that some code imports, in a process of its own."""
    script = f"""
import sys
try:
    {code}
except SystemExit as end:
    assert not end.code, end.code
print(*sorted({{'torch', 'pandas', 'rich', 'sklearn'}} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""


def test_help_imports_no_heavy_package(tmp_path: Path) -> None:
    assert heavy_modules("from bench.cli import main; main(['--help'])", tmp_path) == ""


def test_a_heavy_import_is_detected(tmp_path: Path) -> None:
    assert heavy_modules("import rich.console", tmp_path) == "rich"


def test_help_takes_less_than_a_third_of_a_second() -> None:
    def seconds() -> float:
        """CPU time of a start, which does not depend on other processes."""
        before = os.times()
        code = "from bench.cli import main; main(['--help'])"
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    assert min(seconds() for _ in range(3)) < 0.3


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.help
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert [option.name for option in options if not option.help] == []
    assert run(name, "--help").exit_code == 0


def test_the_error_of_an_unknown_command_names_the_closest_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(main, "list_commands", lambda ctx: ["report", "train"])
    result = run("tarin")
    assert result.exit_code == 2
    assert result.stderr == "error: unknown command 'tarin'; did you mean 'train'?\n"


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (CrossfireError("no\nsuch thing"), 2, "error: no such thing"),
        (
            click.UsageError("No such option."),
            2,
            "error: No such option. See 'bench report --help'.",
        ),
        (click.FileError("a.json", "missing"), 2, "error: Could not open file 'a.json': missing"),
        (
            KeyboardInterrupt(),
            130,
            "error: interrupted; train, evaluate and run resume with the same command",
        ),
    ],
)
def test_an_error_is_one_line(
    raised: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised

    command = click.Command("report", callback=fail)
    monkeypatch.setattr(main, "resolve_command", lambda *_: ("report", command, []))
    result = run("report")
    assert result.exit_code == code
    assert result.stderr.strip() == line


def test_the_version_is_the_installed_one() -> None:
    assert run("--version").output.strip() == version("crossfire-bench")

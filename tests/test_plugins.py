"""A package with plugins is built, installed, listed and used; a broken plugin affects no other."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.catalogue import rows
from bench.cli import main
from bench.cli.list import command
from bench.plugins.registry import KINDS, plugins
from leaderboard.store import Board

ORIGIN = "crossfire-extras 1.2"


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package's wheel, installed into a folder on the path."""
    if find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed")
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    shutil.copytree(Path(__file__).with_name("plugin_package"), source, dirs_exist_ok=True)
    build = "from hatchling.build import build_wheel; print(build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, check=True, capture_output=True, text=True
    )
    shutil.unpack_archive(source / done.stdout.split()[-1], target, "zip")
    sys.path.insert(0, str(target))
    plugins.cache_clear()
    yield target
    sys.path.remove(str(target))
    plugins.cache_clear()


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("defenses", {"blank", "broken"}),
        ("attacks", {"darken"}),
        ("suites", {"darken", "darken-twice"}),
        ("models", {"brightness"}),
        ("datasets", {"shades"}),
        ("budgets", {"slight"}),
    ],
)
def test_plugins_are_listed_with_their_origin_after_ours(kind: str, names: set[str]) -> None:
    origins = [origin for _, origin, _ in rows(kind)]
    assert {name for name, origin, _ in rows(kind) if origin == ORIGIN} == names
    assert origins == sorted(origins, key=lambda origin: origin == ORIGIN)
    assert all(name in run("list", kind).output for name in names)


def test_every_kind_can_be_listed() -> None:
    (kind,) = command.params
    assert tuple(kind.type.choices) == KINDS


def test_parts_of_attacks_are_not_listed_as_attacks() -> None:
    assert {name for name, _, _ in rows("attacks")}.isdisjoint({"base", "external", "objectives"})


def test_listing_imports_no_plugin() -> None:
    script = "from bench.catalogue import rows; import sys; rows('defenses'); "
    script += "sys.exit('crossfire_extras' in sys.modules)"
    path = os.pathsep.join([*sys.path])
    subprocess.run(
        [sys.executable, "-c", script], check=True, env=os.environ | {"PYTHONPATH": path}
    )


def test_plugins_of_every_kind_work_end_to_end(tmp_path: Path) -> None:
    trained = run(
        *("train", "blank", "--rows", "2", "--dataset", "shades", "--arch", "cnn-w4"),
        *("--threat", "linf", "--budgets", "slight", "--epochs", "1", "--display", "none"),
    )
    assert trained.exit_code == 0, trained.output
    (checkpoint,) = (tmp_path / "runs").iterdir()
    common = ("--dataset", "shades", "--budgets", "slight", "--display", "none")
    measured = run("evaluate", str(checkpoint), "brightness", *common, "--suite", "darken-twice")
    assert measured.exit_code == 0, measured.output
    alone = run("evaluate", "brightness", *common, "--suite", "darken")
    assert alone.exit_code == 0, alone.output
    records = Board(tmp_path / "board").records()
    (blank,) = (record for record in records if record.model.defense == "blank")
    brightness = [record for record in records if record is not blank]
    assert blank.model.config["rows"] == 2
    assert {record.model.arch for record in brightness} == {"Brightness"}
    assert blank.protocol.threats == ("linf:1/255", "l2:0.1")
    # A shade is 1/8 from the next class, more than these budgets.
    assert all(record.measured["union"] == record.clean for record in brightness)


def test_a_broken_plugin_is_an_error_of_one_line_and_affects_no_other() -> None:
    broken = run("train", "broken")
    assert broken.exit_code == 2
    assert broken.output.count("\n") == 1
    assert f"plugin 'broken' of {ORIGIN} does not import" in broken.output
    assert "a_library_that_does_not_exist" in broken.output
    assert run("train", "blank", "--help").exit_code == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--weights", "none.pt"), "there is no file none.pt"),
        (("--arch", "cnn"), "brightness has an architecture; --arch is for a file of weights"),
    ],
)
def test_options_of_weights_are_not_ignored_for_a_plugins_model(
    option: tuple[str, str], message: str
) -> None:
    done = run("evaluate", "brightness", "--dataset", "shades", *option)
    assert done.exit_code == 2
    assert message in done.output


def test_a_plugin_cannot_replace_a_defense_of_ours() -> None:
    from bench.plugins.registry import defenses

    assert defenses()["at"].origin == "defenses/at.py"


def test_a_record_is_not_invalid_because_the_code_of_its_attack_changed(package: Path) -> None:
    common = ("--dataset", "shades", "--budgets", "slight", "--display", "none")
    assert run("evaluate", "brightness", *common, "--suite", "darken").exit_code == 0
    (record,) = Path("board/records").glob("*.json")
    file = package / "crossfire_extras" / "darken.py"
    code = file.read_text()
    verified = run("verify", str(record), "--dataset", "shades").output
    try:
        file.write_text(f"{code}\nNEWER = 1\n")
        changed = run("verify", str(record), "--dataset", "shades").output
    finally:
        file.write_text(code)
    assert "may have changed" not in verified
    assert "the code of an attack that is not ours may have changed since" in changed
    assert "INVALID" not in changed

"""What `bench new defense` writes trains and passes its test, in a checkout and elsewhere."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from bench.plugins.registry import defenses
from bench.plugins.scaffold import DOCUMENT

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def new(name: str) -> Result:
    return CliRunner().invoke(main, ["new", "defense", name])


def checkout() -> None:
    """The folders and files of a minimal checkout."""
    for folder in ("defenses", "tests/defenses", "docs/reference"):
        Path(folder).mkdir(parents=True)
    Path("defenses/__init__.py").touch()
    DOCUMENT.write_text((ROOT / DOCUMENT).read_text())


def test_outside_a_checkout_the_defense_trains_and_its_test_passes() -> None:
    done = new("my-defense")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "next: bench train my_defense.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_defense.py"]
    tested = subprocess.run(command, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout


def test_the_written_files_satisfy_the_linter() -> None:
    new("my-defense")
    for action in ("check", "format --check"):
        ruff = [sys.executable, "-m", "ruff", *action.split(), "--config", ROOT / "pyproject.toml"]
        done = subprocess.run([*map(str, ruff), "my_defense.py"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_in_a_checkout_files_are_written_to_their_folders_and_the_table_gets_a_row() -> None:
    checkout()
    before = DOCUMENT.read_text().splitlines()
    assert new("catch-all").exit_code == 0
    assert Path("defenses/catch_all.py").is_file()
    assert 'get_defense("catch-all")' in Path("tests/defenses/test_catch_all.py").read_text()
    after = DOCUMENT.read_text().splitlines()
    (row,) = set(after) - set(before)
    assert [line for line in after if line != row] == before
    rows = [line for line in after if line.startswith("| `")]
    assert rows == sorted(rows)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("at", "there is a defense 'at' already"),
        ("e_at", "there is a defense 'e-at' already"),
        ("run", "the class Run would hide an import; choose another name"),
        ("job", "the class Job would hide an import"),
        ("My", "'My' is not a valid name of a defense"),
        ("../x", "is not a valid name"),
        ("taken", "taken.py exists already"),
    ],
)
def test_an_invalid_name_is_an_error_of_one_line_and_writes_nothing(
    name: str, message: str
) -> None:
    Path("taken.py").touch()
    done = new(name)
    assert done.exit_code == 2
    assert message in done.output
    assert [path.name for path in Path().iterdir()] == ["taken.py"]


def test_the_documentation_lists_every_defense_with_the_summary_of_its_file() -> None:
    ours = {k: e.what for k, e in defenses().items() if e.origin.startswith("defenses/")}
    rows = [f"| `{name}` | {ours[name]} |" for name in sorted(ours)]
    page = (ROOT / DOCUMENT).read_text().splitlines()
    assert [line for line in page if line.startswith("| `")] == rows

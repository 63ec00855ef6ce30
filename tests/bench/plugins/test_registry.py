import dataclasses
import json
from pathlib import Path

import pytest

from bench.errors import CrossfireError
from bench.plugins import registry
from bench.plugins.registry import Entry, choose, get_defense, load_file, name_of, recorded_name

DEFENSE = '''
from dataclasses import dataclass

@dataclass(frozen=True)
class Mine:
    """A defense."""

    steps: int = 3

    def fit(self, job):
        """Train."""
'''


def write(folder: Path, text: str) -> str:
    file = folder / "mine.py"
    file.write_text(text)
    return str(file)


def test_a_defense_may_be_a_file_named_on_the_command_line(tmp_path: Path) -> None:
    found = get_defense(write(tmp_path, DEFENSE))
    assert found.__name__ == "Mine"
    assert dataclasses.asdict(found()) == {"steps": 3}


def test_several_dataclasses_require_a_choice(tmp_path: Path) -> None:
    two = DEFENSE + "\n@dataclass\nclass Other:\n    pass\n"
    with pytest.raises(CrossfireError, match="DEFENSE = Class"):
        get_defense(write(tmp_path, two))
    assert get_defense(write(tmp_path, two + "DEFENSE = Mine\n")).__name__ == "Mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "defines 0 dataclasses"),
        ("DEFENSE = 3", "must be a dataclass with a method `fit`"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 +", "SyntaxError"),
        ("import sys\nsys.exit()", "exits when it is imported; put .* if __name__ == '__main__'"),
    ],
)
def test_a_broken_file_is_an_error_of_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CrossfireError, match=message) as caught:
        get_defense(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_reported() -> None:
    with pytest.raises(CrossfireError, match="there is no file"):
        get_defense("nowhere/mine.py")


def test_the_error_of_a_misspelt_name_names_the_closest_one() -> None:
    entries = {name: Entry(name, "here", lambda: 1) for name in ("mat", "at")}
    with pytest.raises(CrossfireError, match=r"unknown defense 'mta'; did you mean 'mat'"):
        choose("defenses", "mta", entries)
    with pytest.raises(CrossfireError, match="choose from at, mat"):
        choose("defenses", "xyz", entries)
    assert choose("defenses", "mat", entries) == 1


def test_a_file_with_the_name_of_a_defense_of_ours_keeps_its_suffix(tmp_path: Path) -> None:
    for name in ("at.py", "e-at.py", "e_at.py"):
        (tmp_path / name).write_text(DEFENSE)
        found = get_defense(str(tmp_path / name))
        expected = name.replace("_", "-")
        assert name_of(found()) == recorded_name(str(tmp_path / name)) == expected
    assert name_of(get_defense(write(tmp_path, DEFENSE))()) == "mine"
    assert name_of(get_defense("e_at")()) == recorded_name("e_at") == "e-at"


@pytest.mark.parametrize(
    ("called", "name"), [("NoisyImages", "noisy-images"), ("MAT", "mat.py"), ("Net2D", "net2-d")]
)
def test_a_class_of_a_script_has_its_own_name(called: str, name: str) -> None:
    assert name_of(type(called, (), {"__module__": "__main__"})()) == name


def test_a_file_that_does_not_parse_affects_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "half_broken"
    folder.mkdir()
    for name, text in (("__init__", ""), ("broken", "1 +"), ("null", "\0"), ("whole", "'''It.'''")):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = {"broken": "does not parse", "null": "does not parse", "whole": "It."}
    assert registry.documented("half_broken") == found


def test_a_defense_of_a_checkout_that_does_not_import_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "documented", lambda package: {"none": ""})
    with pytest.raises(CrossfireError, match=r"defenses/none.py does not import \(Module"):
        get_defense("none")


def test_an_entry_point_with_an_underscore_is_found_under_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = get_defense(write(tmp_path, DEFENSE))
    entry = Entry("my_noise", "a package", lambda: mine)
    monkeypatch.setattr(registry, "plugins", lambda kind: {"my_noise": entry})
    assert get_defense("my_noise") is get_defense("my-noise") is mine
    assert (name_of(mine()), registry.defenses()["my-noise"].name) == ("my-noise", "my-noise")


@pytest.mark.parametrize("helper", ["{}_code.py", "{}_code/__init__.py", "{}_code/net.py"])
def test_each_file_imports_the_modules_beside_itself(tmp_path: Path, helper: str) -> None:
    name = f"from_{len(helper)}"
    module = f"{name}_code.net" if helper.endswith("net.py") else f"{name}_code"
    for folder in ("a", "b"):
        file = tmp_path / folder / helper.format(name)
        file.parent.mkdir(parents=True)
        file.write_text(f"WHERE = '{folder}'\n")
        (tmp_path / folder / f"only_{folder}_{name}.py").touch()
        (tmp_path / folder / "mine.py").write_text(
            f"from {module} import WHERE\n\ndef late():\n    import only_{folder}_{name}\n"
        )
    loaded = [load_file(tmp_path / folder / "mine.py") for folder in ("a", "b", "a")]
    assert [file.WHERE for file in loaded] == ["a", "b", "a"]
    for file in loaded:
        file.late()


def test_a_module_beside_a_file_shadows_no_library(tmp_path: Path) -> None:
    (tmp_path / "json.py").touch()
    assert load_file(Path(write(tmp_path, "import json\n"))).json is json


def test_a_module_of_pythonpath_in_place_of_one_beside_a_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin_nets.py").write_text(f"WHERE = '{folder}'\n")
        write(tmp_path / folder, "from twin_nets import WHERE\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "a"))
    monkeypatch.syspath_prepend(tmp_path / "a")
    with pytest.raises(CrossfireError, match=r"twin_nets beside itself, .*/a; take that folder"):
        load_file(tmp_path / "b" / "mine.py")
    assert load_file(tmp_path / "a" / "mine.py").WHERE == "a"
    (tmp_path / "b" / "twin_nets.py").rename(tmp_path / "b" / "other.py")
    (tmp_path / "b" / "twin_nets").mkdir()
    assert load_file(tmp_path / "b" / "mine.py").WHERE == "a"

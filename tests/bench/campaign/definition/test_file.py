"""Reading a campaign's file: runs, defaults, and one line for every error in it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.campaign.definition.campaign import Campaign
from bench.campaign.definition.file import read
from bench.cli import main
from bench.errors import CrossfireError

GOOD = """
seeds = [0, 3]

[train]
epochs = 2

[[run]]
defense = "at"
threat = ["linf", "l2:0.5"]
batch_size = 64

[[run]]
name = "student"
defense = "teacher-student"
teacher = "at-threat-linf"
alpha = [0, 0.25]
drops = [1, 2]

[[run]]
name = "elsewhere"
model = "torchvision:resnet18"

[[evaluate]]
suites = ["pgd-100", "crossfire"]

[[compare]]
a = "student-alpha-0"
b = "at-threat-linf"
"""


def campaign(text: str, folder: Path) -> Campaign:
    (folder / "c.toml").write_text(text)
    return read(folder / "c.toml")


def test_a_list_makes_a_run_of_each_value(tmp_path: Path) -> None:
    runs = {run.name: run for run in campaign(GOOD, tmp_path).runs}
    assert list(runs) == [
        *("at-threat-linf", "at-threat-l2-0.5"),
        *("student-alpha-0", "student-alpha-0.25", "elsewhere"),
    ]
    student = runs["student-alpha-0.25"]
    assert student.seeds == (0, 3)
    assert student.teachers == {"teacher": "at-threat-linf"}
    assert student.options.own["alpha"] == 0.25
    assert student.options.job["epochs"] == 2
    assert student.options.job["drops"] == (1.0, 2.0)
    assert runs["elsewhere"].model == "torchvision:resnet18"


def test_omitted_settings_have_defaults(tmp_path: Path) -> None:
    found = campaign('[[run]]\ndefense = "at"\n', tmp_path)
    assert [one.name for one in found.evaluations] == ["best by pgd-100", "last by pgd-100"]
    assert (found.dataset, found.board, found.runs[0].seeds) == ("digits", "board", (0,))
    assert found.runs[0].options.threats == "linf:0.25"


AT = '[[run]]\ndefense = "at"\n'
MAT = '[[run]]\ndefense = "mat"\n'
BAD = {
    "a table that is not closed": ("[[run]\n", 1, "not TOML"),
    "an unknown key": ("sedes = 2\n" + AT, 1, "unknown key 'sedes'; did you mean 'seeds'?"),
    "an unknown defense": ('\n[[run]]\ndefense = "trads"\n', 3, "did you mean 'trades'?"),
    "an unknown option": (AT + "stepss = 3\n", 3, "unknown option of at: 'stepss'; did you mean"),
    "an unknown shared option": ("[train]\nepoch = 3\n" + AT, 2, "did you mean 'epochs'?"),
    "a value of another type": (AT + 'epochs = "many"\n', 3, "must be a whole number, not 'many'"),
    "an option that is not read": (
        MAT + "networks = 4\n",
        3,
        "networks is for one threat; leave it out",
    ),
    "an invalid value": (AT + "epochs = 0\n", 3, "epochs must be 1 or more"),
    "an unknown choice": (AT + 'schedule = "cyclical"\n', 3, "did you mean 'cyclic'?"),
    "an empty grid": (AT + "lr = []\n", 3, "lr is an empty list"),
    "an unknown suite": (
        AT + '[[evaluate]]\nsuites = ["pgd-100", "crosfire"]\n',
        4,
        "did you mean 'crossfire'?",
    ),
    "an unreadable threat": (AT + 'threat = "linf=8/255"\n', 3, "is not NORM:EPSILON"),
    "an unknown budget set": (AT + '[[evaluate]]\nbudgets = "corce"\n', 4, "no budget set 'corce'"),
    "an unknown architecture": (AT + 'arch = "resnet"\n', 3, "unknown architecture 'resnet'"),
    "an unknown recipe": (AT + 'recipe = "papers"\n', 3, "did you mean 'paper'?"),
    "a missing data set": ('dataset = "npz:no.npz"\n' + AT, 1, "there is no"),
    "a size that is none": ('dataset = "folder:x@big"\n' + AT, 1, "'@big' is not a size"),
    "an unknown data set": ('dataset = "cifar"\n' + AT, 1, "did you mean 'cifar10'?"),
    "a teacher that does not exist": (
        AT + '[[run]]\ndefense = "teacher-student"\nteacher = "att"\n',
        5,
        "unknown teacher 'att'; did you mean 'at'?",
    ),
    "a teacher with fewer seeds": (
        AT + '[[run]]\ndefense = "teacher-student"\nteacher = "at"\nseeds = 2\n',
        5,
        "'at' has no seed 1",
    ),
    "a cycle of teachers": (
        '[[run]]\nname = "a"\ndefense = "teacher-student"\nteacher = "b"\n'
        '[[run]]\nname = "b"\ndefense = "teacher-student"\nteacher = "a"\n',
        None,
        "waits for",
    ),
    "two runs of the same name": (AT + AT, 3, "two runs are named 'at'"),
    "a run without defense and model": ("[[run]]\nepochs = 3\n", 1, "either a defense or a model"),
    "no run": ("seeds = 3\n", 1, "there is no run"),
    "no seeds": ("seeds = 0\n" + AT, 1, "seeds must be a number, 1 or more"),
    "a comparison with an unknown run": (
        AT + '[[compare]]\na = "at"\nb = "mat"\n',
        5,
        "unknown run 'mat'; did you mean 'at'?",
    ),
    "budgets in a missing file": (
        AT + 'budgets = "no.toml"\n',
        3,
        "cannot read budgets from",
    ),
    "a defense in a missing file": (
        '[[run]]\nname = "m"\ndefense = "mine.py"\n',
        3,
        "there is no file",
    ),
    "a network in a missing file": (
        AT + 'arch = "mine.py:net"\n',
        3,
        "mine.py, which arch = 'mine.py:net' names",
    ),
    "a repeated evaluation": (AT + "[[evaluate]]\n[[evaluate]]\n", 4, "two [[evaluate]]"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_error_is_one_line_with_its_line_number_and_the_correction(
    name: str, tmp_path: Path
) -> None:
    text, line, expected = BAD[name]
    (tmp_path / "c.toml").write_text(text)
    result = CliRunner().invoke(main, ["run", str(tmp_path / "c.toml")])
    assert result.exit_code == 2
    (message,) = result.stderr.splitlines()
    assert expected in message
    assert f"c.toml, line {line or ''}" in message
    assert not (tmp_path / ".campaign").exists()


def test_a_missing_file_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CrossfireError, match=r"there is no file .*name a campaign's TOML file"):
        read(tmp_path / "no.toml")


def test_a_teacher_that_is_an_own_network_is_of_its_students_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    text = 'arch = "mine.py:net"\n[[run]]\ndefense = "teacher-student"\nteacher = "at"\n'
    with pytest.raises(CrossfireError, match="line 6: its teacher 'at' is a network of mine"):
        campaign(AT + text, tmp_path)
    (run,) = campaign(AT + text + 'arch = "mine.py:small"\n', tmp_path).runs[1:]
    assert run.teachers == {"teacher": "at"}


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("[[evaluate]]\nsuites = []", "line 4: suites is an empty list"),
        ('[[compare]]\na = "at"\nb = "at"\nunder = "l3"', "line 6: threat 'l3' is not"),
        ('[[compare]]\na = "at"\nb = "at"\nsuite = "pgd1"', "did you mean 'pgd-100'"),
        ('[[run]]\nname = "at-0"\nmodel = "torchvision:resnet18"', "is also a run with its seed"),
    ],
)
def test_what_would_be_left_out_silently_is_an_error(
    text: str, advice: str, tmp_path: Path
) -> None:
    with pytest.raises(CrossfireError) as caught:
        campaign(f'[[run]]\ndefense = "at"\n{text}\n', tmp_path)
    assert advice in str(caught.value)


def test_a_defense_that_no_command_would_train_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n\n@dataclass\nclass Mine:\n    lr: float = 0.1\n"
        "    def fit(self, job): ...\n"
    )
    with pytest.raises(CrossfireError, match=r"line 2: the field 'lr' of mine.py has the name"):
        campaign('[[run]]\ndefense = "mine.py"\n', tmp_path)

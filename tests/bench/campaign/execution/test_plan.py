"""The plan: commands, dependencies, order, and the identities of steps."""

import time
from pathlib import Path

import pytest

from bench.campaign.definition.file import read
from bench.campaign.execution import identity
from bench.campaign.execution.plan import Plan, Step, make
from bench.errors import CrossfireError

ROOT = Path(__file__).parents[4]
TEXT = """
seeds = 2

[[run]]
name = "student"
defense = "teacher-student"
variant = "adaad"
teacher = "at"

[[run]]
defense = "at"
average = 0.9

[[run]]
name = "net"
model = "mine.py:net"
normalize = "cifar10"

[[evaluate]]
suites = ["pgd-100", "crossfire"]
examples = 50
images = "first"

[[evaluate]]
checkpoint = "last"
seeds = 1
board = "further"
"""


def plan(folder: Path, text: str = TEXT) -> Plan:
    (folder / "c.toml").write_text(text)
    return make(read(folder / "c.toml"))


@pytest.mark.parametrize(
    "file",
    [*ROOT.glob("leaderboard/*.toml"), *ROOT.glob("benchmarks/*.toml")],
    ids=lambda f: f.stem,
)
def test_the_projects_own_campaigns_keep_their_records_beside_the_published_ones(
    file: Path,
) -> None:
    own = make(read(file))
    boards = {step.board for step in own.steps.values() if step.board}
    folders = {own.campaign.board_at(board).resolve().parent for board in boards}
    assert folders == {ROOT / "leaderboard"}


def step(folder: Path, text: str, key: str = "train student-0") -> Step:
    return plan(folder, text).steps[key]


def test_steps_are_commands_with_dependencies(tmp_path: Path) -> None:
    steps = plan(tmp_path).steps
    student = steps["train student-1"]
    assert " ".join(student.command) == (
        "train teacher-student --dataset digits --variant adaad --teacher runs/at-1 "
        "--seed 1 --out runs/student-1"
    )
    assert student.needs == ("train at-1",)
    best = steps["evaluate student-1 best by pgd-100,crossfire"]
    assert " ".join(best.command) == (
        "evaluate runs/student-1/best.safetensors --threat union --suite pgd-100,crossfire "
        "--dataset digits --examples 50 --seed 0 --precision auto --board board --no-images"
    )
    assert best.needs == ("train student-1",)
    assert steps["evaluate student-0 best by pgd-100,crossfire"].command[-1] == "--images"
    assert "evaluate student-1 last by pgd-100" not in steps
    last = steps["evaluate student-0 last by pgd-100"]
    assert last.command[last.command.index("--board") + 1] == "further"
    net = steps["evaluate net best by pgd-100,crossfire"]
    assert net.needs == ()
    assert net.command[-3:] == ("--board", "board", "--images")
    assert "--normalize cifar10" in " ".join(net.command)


def test_a_model_has_one_checkpoint_and_is_measured_once(tmp_path: Path) -> None:
    model = '[[run]]\nname = "net"\nmodel = "mine.py:net"\n'
    best, last = "[[evaluate]]\n", '[[evaluate]]\ncheckpoint = "last"\n'
    one, both, other = (plan(tmp_path, model + text).steps for text in (best, best + last, last))
    assert one == both == other
    assert list(one) == ["evaluate net best by pgd-100"]


def test_weights_of_the_first_seed_are_kept_on_the_campaign_s_board(tmp_path: Path) -> None:
    steps = plan(tmp_path, 'keep_weights = "first"\n' + TEXT).steps
    kept = {key for key, step in steps.items() if "--keep-weights" in step.command}
    assert "evaluate at-0 best by pgd-100,crossfire" in kept
    assert not any("-1 " in key or key.startswith("evaluate net") for key in kept)
    assert {steps[key].board for key in kept} == {"board"}


def test_seeds_come_in_order_and_teachers_before_students(tmp_path: Path) -> None:
    order = [key for key in plan(tmp_path).steps if key.startswith("train")]
    assert order == ["train at-0", "train student-0", "train at-1", "train student-1"]


def test_dependants_are_the_student_and_all_evaluations(tmp_path: Path) -> None:
    found = plan(tmp_path)
    stopped = found.dependants("train at-1")
    assert stopped == {key for key in found.steps if "-1" in key.split()[1]} - {"train at-1"}


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("average = 0.9", "average = 0.99", False),
        ("average = 0.9", "average = 0.9\nepochs = 20", True),
        ('variant = "adaad"', 'variant = "rslad"', False),
        ("seeds = 2", "seeds = 5", True),
        ("examples = 50", "examples = 60", True),
        ("average = 0.9", "average = 0.9\ntensorboard = true", True),
    ],
)
def test_the_identity_of_a_training_depends_on_its_recipe_and_its_teachers(
    old: str, new: str, same: bool, tmp_path: Path
) -> None:
    before, after = step(tmp_path, TEXT), step(tmp_path, TEXT.replace(old, new))
    assert (before.identity == after.identity) is same


def test_the_identity_of_an_evaluation_depends_on_its_training_and_its_options(
    tmp_path: Path,
) -> None:
    key = "evaluate student-0 best by pgd-100,crossfire"
    found = {
        step(tmp_path, text, key).identity
        for text in (
            *(TEXT, TEXT.replace("average = 0.9", "average = 0.99")),
            TEXT.replace("examples = 50", "examples = 60"),
        )
    }
    assert len(found) == 3


def test_the_identity_of_code_ignores_comments_but_not_numbers(tmp_path: Path) -> None:
    code = '"""One."""\n\nx = 1\n'
    versions = []
    for text in (code, code.replace("One", "Two") + "# more\n", code.replace("1", "2")):
        (tmp_path / "mine.py").write_text(text)
        versions.append(identity.code("mine.py", tmp_path))
    assert versions[0] == versions[1] != versions[2]
    assert identity.code("mat", tmp_path) != identity.code("avg", tmp_path)


def test_the_identity_of_code_covers_the_modules_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from helper import half\n")
    versions = []
    for text in ("half = 1 / 2\n", "half = 0.5 # the same number, other code\n"):
        (tmp_path / "helper.py").write_text(text)
        identity._code.cache_clear()
        versions.append(identity.code("mine.py", tmp_path))
    assert versions[0] != versions[1]


ELSEWHERE = """
[[run]]
defense = "teacher-student"
teacher = "t.safetensors"

[[run]]
name = "net"
model = "torchvision:resnet18"
weights = "w.pt"

[[evaluate]]
suites = ["l2l:attacker"]
"""


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("t.safetensors", "train teacher-student-0"),
        ("w.pt", "evaluate net best by l2l:attacker"),
        ("attacker/best.safetensors", "evaluate net best by l2l:attacker"),
    ],
)
def test_a_changed_file_of_teacher_weights_or_attacker_is_another_identity(
    file: str, key: str, tmp_path: Path
) -> None:
    (tmp_path / "attacker").mkdir()
    for name in ("t.safetensors", "w.pt", "attacker/best.safetensors"):
        (tmp_path / name).write_bytes(b"1")
    before = step(tmp_path, ELSEWHERE, key)
    (tmp_path / file).write_bytes(b"2")
    identity._file.cache_clear()
    assert step(tmp_path, ELSEWHERE, key).identity != before.identity
    assert before.files == (("t.safetensors",) if before.kind == "train" else ())


def test_an_evaluation_waits_for_the_attacker_that_the_campaign_trains(tmp_path: Path) -> None:
    text = '[[run]]\ndefense = "at"\n[[run]]\ndefense = "l2l"\n'
    text += '[[evaluate]]\nsuites = ["l2l:runs/l2l-0"]\nruns = ["at"]\n'
    found = step(tmp_path, text, "evaluate at-0 best by l2l:runs/l2l-0")
    assert set(found.needs) == {"train at-0", "train l2l-0"}


def test_an_attack_of_a_file_lies_in_the_campaigns_folder_and_its_code_is_in_the_identity(
    tmp_path: Path,
) -> None:
    text = '[[run]]\ndefense = "at"\n[[evaluate]]\nsuites = ["mine.py:attack", "fab"]\n'
    key = "evaluate at-0 best by mine.py:attack,fab"
    with pytest.raises(CrossfireError, match=r"line 4: there is no file .*mine\.py"):
        step(tmp_path, text, key)
    code = "SIZE = 1\ndef attack(model, x, y, threat, seed):\n    return x\n"
    (tmp_path / "mine.py").write_text(code)
    before = step(tmp_path, text, key)
    assert "mine.py:attack,fab" in before.command
    (tmp_path / "mine.py").write_text(code.replace("SIZE = 1", "SIZE = 22"))
    assert step(tmp_path, text, key).identity != before.identity


def test_a_network_of_a_users_file_is_part_of_the_identity_and_named_to_evaluate(
    tmp_path: Path,
) -> None:
    text = '[[run]]\ndefense = "at"\narch = "mine.py:net"\n[[evaluate]]\n'
    (tmp_path / "mine.py").write_text("from helper import width\n")
    versions = []
    for width in ("4", "4 # channels", "8"):
        (tmp_path / "helper.py").write_text(f"width = {width}\n")
        identity._code.cache_clear()
        versions.append(step(tmp_path, text, "train at-0"))
    assert versions[0].identity == versions[1].identity != versions[2].identity
    measured = step(tmp_path, text, "evaluate at-0 best by pgd-100")
    assert " ".join(measured.command).startswith("evaluate runs/at-0/best.safetensors --threat")
    assert "--arch mine.py:net" in " ".join(measured.command)
    assert versions[0].files == measured.files == ("helper.py", "mine.py")


def test_the_identity_of_data_is_the_content_of_their_file(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"1")
    (tmp_path / "b.npz").write_bytes(b"1")
    (tmp_path / "c.npz").write_bytes(b"2")
    a, b, c = (identity.data(f"npz:{name}.npz", tmp_path) for name in "abc")
    assert a == b != c


def test_a_thousand_steps_are_planned_in_two_seconds(tmp_path: Path) -> None:
    values = ", ".join(f"{k / 100}" for k in range(1, 68))
    text = f'seeds = 5\n[[run]]\ndefense = "mat"\nalpha = [{values}]\n'
    began = time.perf_counter()
    assert len(plan(tmp_path, text).steps) == 1005
    assert time.perf_counter() - began < 2

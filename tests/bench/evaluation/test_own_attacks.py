"""An attack of one's own is a suite: FILE.py:NAME, or the function or class itself."""

import linecache
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from bench import evaluate
from bench.attacks.apgd import APGD
from bench.attacks.external import ExternalAttack
from bench.attacks.fab import FAB
from bench.attacks.margin import MarginPGD
from bench.attacks.pgd import PGD
from bench.cli import main
from bench.errors import CrossfireError
from bench.evaluation import suites
from bench.evaluation.outcome import Outcome
from bench.evaluation.suites import Own
from bench.threats import Threat
from bench.verify import Options, verify
from leaderboard.store import Board
from tests.toy import exact_worst_case, images, linear_model

MODEL, X = linear_model(3, classes=4), images(5, 12)
CODE = """
import torch

from bench.attacks.pgd import PGD

STEPS = 5
calls = 0

@torch.enable_grad()
def attack(model, x, y, threat, seed):
    global calls
    calls += 1
    return x

class Longer(PGD):
    pass

def helper(x):
    return x
"""
COMMON = ("--dataset", "digits", "--examples", "8", "--threat", "linf:0.1", "--display", "none")


def attacked(*chosen: object, **options: Any) -> Outcome:  # noqa: ANN401
    options = {"threat": "linf:0.05", "display": "none", **options}
    return evaluate(MODEL, X, MODEL(X).argmax(1), suites=chosen, **options)


@pytest.fixture(autouse=True)
def _beside_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (".", "other folder"):
        Path(folder).mkdir(exist_ok=True)
        Path(folder, "mine.py").write_text(CODE)


def run(*words: str) -> Any:  # noqa: ANN401
    return CliRunner().invoke(main, words)


def same(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
    return x


def far(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
    return 1 - x


def test_an_attack_of_a_file_is_recorded_under_its_file_and_name() -> None:
    outcome = attacked("mine.py:attack", "mine.py:Longer", "pgd-100")
    assert [suite for _, suite in outcome.columns] == [
        "mine.py:attack",
        "mine.py:Longer",
        "pgd-100",
    ]
    assert outcome.attacks["linf:0.05", "mine.py:attack"] == ("mine.py:attack",)
    assert outcome.attacks["linf:0.05", "mine.py:Longer"] == ("pgd",)
    robust = [column.robust.all() for column in outcome.columns.values()]
    assert robust[0]
    assert not robust[2]


@pytest.mark.parametrize("name", ["attack", "Longer"])
def test_other_code_is_another_protocol(name: str) -> None:
    before = attacked(f"mine.py:{name}").protocol.sha256
    Path("mine.py").write_text(CODE + "# a comment\n")
    assert attacked(f"mine.py:{name}").protocol.sha256 == before
    Path("mine.py").write_text(CODE.replace("STEPS = 5", "STEPS = 50"))
    assert attacked(f"mine.py:{name}").protocol.sha256 != before


def test_files_of_one_name_in_two_folders_are_told_apart() -> None:
    Path("other folder/mine.py").write_text(CODE.replace("return x", "return 1 - x"))
    names = ("mine.py:attack", "other folder/mine.py:attack")
    with pytest.raises(CrossfireError, match="left its threat"):
        attacked(*names)
    Path("other folder/mine.py").write_text(CODE.replace("STEPS = 5", "STEPS = 6"))
    here, there = attacked(*names).protocol.settings.values()
    assert here[0]["attack"]["code"] != there[0]["attack"]["code"]
    assert (
        here[0]["attack"]["code"]
        == attacked("mine.py:attack").protocol.settings["linf:0.05/mine.py:attack"][0]["attack"][
            "code"
        ]
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py:attak", "mine.py has no attack 'attak'; choose from PGD, attack, Longer; an"),
        ("mine.py:STEPS", "mine.py has no attack 'STEPS'; choose from"),
        ("mine.py:helper", "mine.py has no attack 'helper'; choose from"),
        ("mine.py", "mine.py has no attack ''; choose from"),
        ("empty.py:attack", "empty.py has no attack 'attack'; it has none; an attack is"),
        ("none.py:attack", "there is no file none.py"),
    ],
)
def test_a_name_that_is_no_attack_is_an_error_of_one_line(name: str, message: str) -> None:
    Path("empty.py").write_text("x = 1")
    done = run("evaluate", "mine.py:model", "--suite", name)
    with pytest.raises(CrossfireError) as error:
        suites.get(name)
    assert str(error.value).startswith(message)
    assert done.exit_code == 2


def test_a_function_and_a_class_are_suites_under_their_names() -> None:
    outcome = attacked(same, PGD, ExternalAttack(same, "again"))
    assert outcome.protocol.suites == ("same", "PGD", "again")
    assert "code" in outcome.protocol.settings["linf:0.05/same"][0]["attack"]
    with pytest.raises(CrossfireError, match="left its threat"):
        attacked(far)


@pytest.mark.parametrize("attack", [MarginPGD(), APGD("targeted-margin"), FAB])
def test_a_targeted_attack_alone_breaks_what_an_untargeted_one_does(attack: Own) -> None:
    y = MODEL(X).argmax(1)
    where = (exact_worst_case(MODEL, X, y, Threat.parse("linf:0.05")).abs() > 1e-3).numpy()
    targeted, untargeted = attacked(attack, "pgd-100").columns.values()
    assert 0 < untargeted.robust[where].sum() < where.sum()
    assert np.array_equal(targeted.robust[where], untargeted.robust[where])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((same, same), "suites same, same name one twice"),
        ((5,), "suite 5 has no name; give that of a suite, or a function"),
        ((ExternalAttack(same, "crossfire"),), "'crossfire' is called like a suite of ours"),
        ((PGD(steps=1, name="pgd-7"),), "'pgd-7' is called like a suite of ours"),
        ((nn.Module,), "attack 'Module' of the argument suites is a Module"),
    ],
)
def test_what_cannot_be_a_suite_is_an_error_of_one_line(
    given: tuple[object, ...], message: str
) -> None:
    with pytest.raises(CrossfireError, match=message):
        attacked(*given)


def test_a_function_of_a_notebook_is_known_by_its_own_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def typed(body: str, *, kept: bool = True) -> str:
        cell, text = "<cell>", f"def typed(model, x, y, threat, seed):\n    {body}\n"
        notebook = ModuleType("notebook")
        monkeypatch.setitem(sys.modules, "notebook", notebook)
        exec(compile(text, cell, "exec"), vars(notebook))
        lines = text.splitlines(keepends=True) if kept else []
        monkeypatch.setitem(linecache.cache, cell, (len(text), None, lines, cell))
        return attacked(notebook.typed).protocol.sha256

    assert typed("return x") == typed("return x") != typed("return x + 0")
    with pytest.raises(CrossfireError, match="the code of attack 'typed' is in no file"):
        typed("return x", kept=False)


def test_verify_runs_the_file_of_an_attack_only_if_it_is_named() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    torch.save(flat.state_dict(), "flat.pt")
    make = "nn.Sequential(nn.Flatten(), nn.Linear(64, 10))"
    Path("net.py").write_text(f"from torch import nn\ndef net():\n    return {make}")
    own = ("--model", "net.py:net", "--weights", "flat.pt")
    done = run("evaluate", *own[1:], *COMMON, "--suite", "other folder/mine.py:attack,fab")
    assert done.exit_code == 0, done.output
    (record,) = Path("board/records").glob("*.json")
    name = "other folder/mine.py:attack"
    assert Board(Path("board")).records()[0].protocol.suites == (name, "fab")
    unnamed = run("verify", str(record), *own).output
    assert f"not checked, its attack would run a file; if you trust that: --suite {name}: V06" in (
        unnamed
    )
    assert run("verify", str(record), *own, "--suite", name).output.startswith("VALID")
    Path(name.removesuffix(":attack")).write_text(CODE.replace("STEPS = 5", "STEPS = 50"))
    changed = run("verify", str(record), *own, "--suite", name).output
    assert "the code of an attack that is not ours may have changed since: V06" in changed
    Path(name.removesuffix(":attack")).unlink()
    options = Options(model="net.py:net", weights=Path("flat.pt"), suites=(name,))
    absent = verify(record, options)
    assert [gap.rule for gap in absent.missing] == ["V06"]
    assert "there is no file other folder/mine.py" in absent.text

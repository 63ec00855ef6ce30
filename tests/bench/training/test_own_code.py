"""The code of a user's file is a part of the run that it is trained with."""

import importlib
import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from bench.data import load as load_data
from bench.errors import CrossfireError
from bench.models import EXTRA, checkpoint
from bench.models.sources import find
from bench.plugins.registry import get_defense
from bench.training import Job
from defenses.at import AT
from defenses.mat import MAT
from leaderboard.ranking import recipe
from leaderboard.store import Board
from tests.small import small_job

NET = """
from torch import nn

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
"""
DEFENSE = """
from dataclasses import dataclass
from bench.losses import cross_entropy
from bench.training import Run
from scale import SCALE

@dataclass(frozen=True)
class Plain:
    def fit(self, job):
        net = job.model()
        run = Run(job, self, net)
        for batch in run:
            run.step(SCALE * cross_entropy(net(batch.x), batch.y).mean())
"""
ARCH = "mine.py:net"
MEASURED = ("--threat", "linf:0.1", "--examples", "16", "--device", "cpu", "--display", "none")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    Path("mine.py").write_text(NET)
    Path("plain.py").write_text(DEFENSE)
    Path("scale.py").write_text("SCALE = 1.0\n")


def edit(file: str, old: str, new: str) -> None:
    text = Path(file).read_text()
    assert old in text
    Path(file).write_text(text.replace(old, new))


def own_network(job: Job) -> None:
    AT(steps=1).fit(job)


def own_peer(job: Job) -> None:
    MAT(steps=1, peers=(ARCH,)).fit(job)


def own_defense(job: Job) -> None:
    get_defense("plain.py")().fit(job)


@pytest.mark.parametrize(
    ("fit", "arch", "file", "old", "new", "name"),
    [
        (own_network, ARCH, "mine.py", "ReLU", "Tanh", ARCH),
        (own_peer, "cnn-w4", "mine.py", "ReLU", "Tanh", ARCH),
        (own_defense, "cnn-w4", "plain.py", "SCALE *", "2 *", "plain.py"),
        (own_defense, "cnn-w4", "scale.py", "1.0", "2.0", "plain.py"),
    ],
)
def test_a_stopped_or_finished_run_is_not_continued_with_other_code(
    fit: Callable[[Job], None], arch: str, file: str, old: str, new: str, name: str
) -> None:
    def stop(done: int, total: int, text: str) -> None:
        if done == total // 2 + 1:
            raise KeyboardInterrupt

    stopped, finished = Path("stopped"), Path("finished")
    with pytest.raises(KeyboardInterrupt):
        fit(small_job(stopped, arch=arch, progress=stop))
    fit(small_job(finished, arch=arch))
    edit(file, old, new)
    for out in (stopped, finished):
        with pytest.raises(CrossfireError, match=f"{out} holds a run with code of {name} ") as told:
            fit(small_job(out, arch=arch))
        assert str(told.value).endswith("or train again with --no-resume (resume=False)")
    fit(small_job(stopped, arch=arch, resume=False))


def imported(text: str) -> Any:  # noqa: ANN401
    """The defense of a module that is imported."""
    Path("imported_defense.py").write_text(text)
    sys.modules.pop("imported_defense", None)
    importlib.invalidate_caches()
    return importlib.import_module("imported_defense").Plain()


def typed(text: str) -> Any:  # noqa: ANN401
    """The defense of a notebook, which keeps the text of a cell, but belongs to no file."""
    notebook = sys.modules["__main__"] = ModuleType("__main__")
    linecache.cache["<cell>"] = (len(text), None, text.splitlines(keepends=True), "<cell>")
    exec(compile(text, "<cell>", "exec"), vars(notebook))
    return notebook.Plain()


@pytest.mark.parametrize("defense", [imported, typed])
def test_a_finished_run_of_a_class_is_not_continued_with_other_code(
    defense: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(".")
    messages: list[str] = []
    job = small_job(Path("run"), epochs=1, notify=messages.append)
    defense(DEFENSE).fit(job)
    defense(DEFENSE.replace("net = job", "# A comment.\n        net = job")).fit(job)
    assert messages == ["run is already trained; --no-resume (resume=False) trains it again"]
    with pytest.raises(CrossfireError, match=r"run holds a run with code of Plain "):
        defense(DEFENSE.replace("SCALE *", "2 *")).fit(job)


def test_a_defense_of_ours_or_without_source_has_no_code_to_record() -> None:
    lost = typed(DEFENSE)
    del linecache.cache["<cell>"]
    for defense in (AT(steps=1), lost):
        defense.fit(small_job(Path("run"), epochs=1, resume=False))
        assert "code" not in checkpoint.metadata_of(Path("run")).config["training"]


def bench(*words: str) -> Result:
    EXTRA.clear()  # as in a process of its own
    return CliRunner().invoke(main, list(words))


def test_a_checkpoint_is_evaluated_with_the_code_of_its_training_only() -> None:
    AT(steps=1).fit(small_job(Path("run"), arch=ARCH, epochs=1))
    measure = ("evaluate", "run", "--arch", ARCH, *MEASURED)
    edit("mine.py", "ReLU", "Tanh")
    done = bench(*measure)
    assert done.exit_code == 2
    assert "the code of mine.py:net is not that with which run was trained" in done.stderr
    assert not Path("board/records").exists()
    mend = done.stderr.rpartition("its weights: bench ")[2].split()
    assert bench(*mend, *MEASURED).exit_code == 0
    (record,) = Board(Path("board")).records()
    assert (record.model.defense, record.model.called) == (None, "mine:net")
    edit("mine.py", "Tanh", "ReLU")
    assert bench(*measure).exit_code == 0


def test_comments_and_what_the_network_does_not_use_may_change() -> None:
    AT(steps=1).fit(small_job(Path("run"), arch=ARCH, epochs=1))
    more = "import math\n\nclass Other:\n    pass\n\ndef other():\n    return Other()\n"
    Path("mine.py").write_text(f'"""Networks."""\n{NET}\n# Another.\n{more}')
    assert find("run", load_data("digits"), arch=ARCH).arch == ARCH
    messages: list[str] = []
    AT(steps=1).fit(small_job(Path("run"), arch=ARCH, epochs=1, notify=messages.append))
    assert messages == ["run is already trained; --no-resume (resume=False) trains it again"]


def test_a_record_is_not_verified_with_other_code() -> None:
    AT(steps=1).fit(small_job(Path("run"), arch=ARCH, epochs=1))
    assert bench("evaluate", "run", "--arch", ARCH, *MEASURED).exit_code == 0
    edit("mine.py", "ReLU", "Tanh")
    (path,) = Path("board/records").glob("*.json")
    done = bench("verify", str(path), "--arch", ARCH)
    assert "VALID" not in done.stdout.split()
    assert "the code of mine.py:net is not that" in " ".join(done.stdout.split())


def test_seeds_of_other_code_are_another_recipe() -> None:
    for seed, old, new in ((0, "ReLU", "ReLU"), (1, "ReLU", "ReLU"), (2, "ReLU", "Tanh")):
        edit("mine.py", old, new)
        AT(steps=1).fit(small_job(Path(f"run-{seed}"), arch=ARCH, epochs=1, seed=seed))
        assert bench("evaluate", f"run-{seed}", "--arch", ARCH, *MEASURED).exit_code == 0
    recipes = {record.model.called: recipe(record) for record in Board(Path("board")).records()}
    assert recipes["run-0"] == recipes["run-1"] != recipes["run-2"]


def test_a_student_is_not_continued_with_another_teacher_under_the_same_name() -> None:
    words = ("train", "teacher-student", "--teacher", "teacher", "--steps", "1", "--out", "student")
    small = ("--examples", "64", "--epochs", "1", "--device", "cpu", "--display", "none")
    AT(steps=1).fit(small_job(Path("teacher"), epochs=1))
    for seed, code in ((0, 0), (0, 0), (1, 2)):
        AT(steps=1).fit(small_job(Path("teacher"), epochs=1, seed=seed, resume=not seed))
        done = bench(*words, *small)
        assert done.exit_code == code, done.output
    assert "student holds a run with weights of the teacher " in done.stderr


def test_networks_of_ours_and_of_libraries_have_no_code_to_record() -> None:
    AT(steps=1).fit(small_job(Path("run"), epochs=1))
    assert "code" not in checkpoint.metadata_of(Path("run")).config["training"]

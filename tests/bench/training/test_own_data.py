"""The content of a user's own data is a part of the run that is trained on them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.errors import CrossfireError
from bench.models import checkpoint
from bench.training import Job, settings_of
from bench.training.state import check_same
from defenses.at import AT
from defenses.teacher_student import TeacherStudent
from leaderboard.ranking import recipe
from tests.records import make_record
from tests.small import small_job


def write_npz(seed: int) -> None:
    random = np.random.RandomState(seed)
    images = {f"x_{part}": random.randint(0, 256, (96, 8, 8), np.uint8) for part in PARTS}
    labels = {f"y_{part}": np.arange(96) % 2 for part in PARTS}
    np.savez("mine.npz", **images, **labels)


def write_folder(seed: int) -> None:
    random = np.random.RandomState(seed)
    for part in PARTS:
        for number in range(96):
            path = Path(f"pets/{part}/{number % 2}/{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.randint(0, 256, (8, 8), np.uint8)).save(path)


PARTS = ("train", "test")
DATA = {"npz:mine.npz": write_npz, "folder:pets": write_folder}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("dataset", "write"), DATA.items())
def test_a_stopped_or_finished_run_is_not_continued_on_changed_images(
    dataset: str, write: Callable[[int], None]
) -> None:
    def stop(done: int, total: int, text: str) -> None:
        if done == total // 2 + 1:
            raise KeyboardInterrupt

    stopped, finished = Path("stopped"), Path("finished")
    write(0)
    with pytest.raises(KeyboardInterrupt):
        AT(steps=1).fit(small_job(stopped, dataset=dataset, progress=stop))
    AT(steps=1).fit(small_job(finished, dataset=dataset))
    write(1)
    for out in (stopped, finished):
        told = f"{out} holds a run with held-out images of {dataset} "
        with pytest.raises(CrossfireError, match=told):
            AT(steps=1).fit(small_job(out, dataset=dataset))
    write(0)
    AT(steps=1).fit(small_job(stopped, dataset=dataset))
    assert checkpoint.metadata_of(stopped / "last.safetensors").epoch == 2


def test_other_training_images_alone_are_named() -> None:
    hashes = {"training": "1" * 64, "held-out": "0" * 64}
    found = {"training": {"dataset": "npz:mine.npz", "data_sha256": hashes}}
    other = {"training": {**found["training"], "data_sha256": hashes | {"training": "2" * 64}}}
    told = "run with training images of npz:mine.npz 11111111, not 22222222; "
    with pytest.raises(CrossfireError, match=told):
        check_same(Path("run"), found, other)
    check_same(Path("run"), {"training": {"dataset": "npz:mine.npz"}}, other)  # of version 0.1.0


def test_a_default_teacher_is_trained_anew_on_changed_images() -> None:
    for seed, teachers in ((0, 1), (0, 1), (1, 2)):
        write_npz(seed)
        job = small_job(Path(f"student-{seed}"), dataset="npz:mine.npz", epochs=1)
        TeacherStudent(steps=1).fit(job)
        assert len(list(Path("teachers").iterdir())) == teachers


def test_hashes_of_images_are_recorded_for_own_data_only_and_leave_the_recipe_alone() -> None:
    def settings(dataset: str) -> dict[str, object]:
        job: Job = small_job(Path("run"), dataset=dataset)
        return settings_of(job)

    assert "data_sha256" not in settings("digits")
    write_npz(0)
    own = settings("npz:mine.npz")
    assert own["data_sha256"].keys() == {"training", "held-out"}
    training = {"seed": 0, "dataset": "npz:mine.npz", "data_sha256": "1" * 64}
    without = {name: value for name, value in own.items() if name != "data_sha256"}
    old, new = (
        make_record("at", config={"training": json.loads(json.dumps(found))}, training=training)
        for found in (without, own)
    )
    assert recipe(old) == recipe(new)


@pytest.mark.parametrize(
    ("examples", "told"),
    [
        (32, "the first 32 training images of npz:mine.npz are all of one class; raise --examples"),
        (64, None),
    ],
)
def test_the_examples_that_are_used_must_be_of_several_classes(
    examples: int, told: str | None
) -> None:
    write_npz(0)
    with np.load("mine.npz") as file:
        arrays = dict(file)
    np.savez("mine.npz", **arrays | {"y_train": np.repeat([0, 1], 48)})
    job = small_job(Path("run"), dataset="npz:mine.npz", examples=examples)
    if told is None:
        assert len(job.train) == examples
    else:
        with pytest.raises(CrossfireError, match=told):
            _ = job.data

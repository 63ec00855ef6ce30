"""The log as CSV, its notices, and TensorBoard's event files on request."""

import csv
import sys
from pathlib import Path

import jaxtyping
import pytest

from bench.errors import CrossfireError
from bench.training import Job
from bench.training.log import Row, write_csv
from defenses.undefended import Undefended
from tests.small import LINF, small_job


def row(epoch: int, clean: float, union: float, fgsm: float) -> Row:
    return {"epoch": epoch, "clean": clean, "union": union, "fgsm": fgsm}


def test_each_row_has_the_notice_of_its_epoch(tmp_path: Path) -> None:
    history = [row(1, 0.6, 0.4, 0.5), row(2, 0.7, 0.5, 0.6), row(3, 0.8, 0.0, 0.9)]
    write_csv(tmp_path / "log.csv", history, classes=10)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [found["notice"][:12] for found in rows] == ["", "", "catastrophic"]
    assert rows[1]["clean"] == "0.7"


def test_a_notice_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noticed = lambda rows, classes: "collapse" if len(rows) > 2 else None  # noqa: E731
    monkeypatch.setattr("bench.training.history.diagnose", noticed)
    messages: list[str] = []
    Undefended().fit(small_job(tmp_path, epochs=5, notify=messages.append))
    assert messages == ["undefended, epoch 3: collapse"]


def test_missing_tensorboard_is_an_error_before_the_first_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(CrossfireError, match="TensorBoard is not installed; pip install"):
        Undefended().fit(small_job(tmp_path, tensorboard=True))
    assert not (tmp_path / "log.csv").exists()


def test_tensorboard_gets_every_epoch(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    Undefended().fit(small_job(tmp_path, tensorboard=True))
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 2


def test_a_column_may_appear_after_the_first_epoch(tmp_path: Path) -> None:
    row = {"epoch": 1, "clean": 0.5, "union": 0.4, "fgsm": 0.4}
    write_csv(tmp_path / "log.csv", [row, {**row, "epoch": 2, "queries": 3}], 10)
    with (tmp_path / "log.csv").open() as file:
        assert [found["queries"] for found in csv.DictReader(file)] == ["", "3"]


def test_what_a_job_notices_goes_to_the_log_of_python_unless_it_is_told_otherwise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jaxtyping.config.update("jaxtyping_disable", True)  # the folder is a text
    job = Job(str(tmp_path), (LINF,), arch="cnn-w4", epochs=1, examples=64)
    for _ in range(2):
        Undefended().fit(job)
    (told,) = [text for name, _, text in caplog.record_tuples if name == "bench"]
    assert told.startswith(f"{tmp_path} is already trained; ")

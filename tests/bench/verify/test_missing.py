"""Weights and data are found in several places; if they are missing, the rest is checked."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import bench.verify
from bench.data import load as load_data
from bench.errors import CrossfireError
from bench.evaluation.settings import Settings
from bench.measurement import Measurement
from bench.models.checkpoint import Metadata, load, save
from bench.plugins.registry import get_defense
from bench.verify import Options, Report, datasets, verify, verify_all
from bench.verify.case import Case
from bench.verify.rules import data_match
from leaderboard.schema import Record, digest
from leaderboard.store import Board
from tests.records import make_record
from tests.small import small_job

MODEL_RULES = ["V05", "V09", "V10"]
DATA_RULES = ["V04", "V05", "V07", "V08", "V09", "V10"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    get_defense("undefended")().fit(small_job(folder / "run", epochs=3))
    settings = Settings(threat="linf:0.1", device="cpu", precision="fp32")
    board = folder / "board"
    measurement = Measurement(settings, examples=32, board=board, keep_weights=True)
    measurement.measure(str(folder / "run"), lambda *_: None)
    return folder


@pytest.fixture
def board(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A copy of a board in another folder than that of training."""
    shutil.copytree(original / "board", tmp_path / "board")
    monkeypatch.chdir(tmp_path)
    board = Board(tmp_path / "board")
    seal(board, lambda plain: plain["model"].update(source="run"))
    return board


def seal(board: Board, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the only record, and give it the id of its changed content."""
    (path,) = (board.folder / "records").glob("*.json")
    plain = json.loads(path.read_text())
    change(plain)
    plain["id"] = digest(plain)
    path.unlink()
    path.with_name(f"{plain['id'][:16]}.json").write_text(json.dumps(plain))


def only(board: Board) -> Record:
    (record,) = board.records()
    return record


def check(board: Board, **options: str) -> Report:
    return verify(board.path(only(board)), Options(**options))  # type: ignore[arg-type]


def test_a_board_with_weights_is_valid_without_the_training_folder(board: Board) -> None:
    assert check(board) == Report(board.path(only(board)), only(board), ())


def test_without_weights_all_other_rules_are_checked(board: Board) -> None:
    board.weights(only(board)).unlink()
    report = check(board)
    assert (report.outcome, report.failures) == ("PARTLY CHECKED", ())
    assert [gap.rule for gap in report.missing] == MODEL_RULES
    assert "not checked, its weights are not here: V05, V09, V10" in report.text
    seal(board, lambda plain: plain["verdicts"][0].update(forward_passes=1))
    assert [failure.rule for failure in check(board).failures] == ["V11"]
    assert check(board).outcome == "INVALID"


def test_the_boards_weights_have_priority_over_the_path_in_the_record(
    board: Board, original: Path
) -> None:
    net, metadata = load(original / "run")
    next(net.parameters()).data.add_(1)
    save(Path("run"), "best", net, metadata)
    assert check(board).outcome == "VALID"
    board.weights(only(board)).unlink()
    report = check(board)
    assert [gap.rule for gap in report.missing] == MODEL_RULES
    assert "run/best.safetensors holds other weights by now" in report.text
    shutil.copytree(original / "run", "run", dirs_exist_ok=True)
    assert check(board).outcome == "VALID"


@pytest.mark.parametrize("damage", ["cut off", "changed"])
def test_other_weights_on_the_board_are_a_failure(board: Board, damage: str) -> None:
    path = board.weights(only(board))
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        tensors = load_file(path)
        tensors["linear2.bias"][0] += 1e-6
        save_file(tensors, path)
    assert [failure.rule for failure in check(board).failures] == ["V05"]


def test_weights_of_another_architecture_are_a_failure(board: Board) -> None:
    seal(board, lambda plain: plain["model"].update(arch="cnn"))
    assert [failure.rule for failure in check(board).failures] == ["V05"]


def test_an_architecture_that_is_not_installed_is_missing(board: Board) -> None:
    path = board.weights(only(board))
    net, metadata = load(path)
    foreign = dataclasses.replace(metadata, arch="somebody-elses")
    save(path.parent, "best", net, foreign).replace(path)
    report = check(board)
    assert [gap.rule for gap in report.missing] == MODEL_RULES
    assert "somebody-elses" in report.text


def test_without_data_all_other_rules_are_checked(board: Board) -> None:
    seal(board, lambda plain: plain["data"].update(name="npz:none.npz", sha256="0" * 64))
    seal(board, lambda plain: plain["protocol"].update(version=1))
    report = check(board)
    assert [gap.rule for gap in report.missing] == DATA_RULES
    assert "its data, npz:none.npz, are not here" in report.text
    assert [gap.rule for gap in report.left_out] == ["V06"]
    assert "protocol 1 is older than these rules: V06" in report.text


def test_a_data_set_named_in_the_options_is_used_only_for_records_on_it(board: Board) -> None:
    other = small_npz(Path("other.npz"))
    assert check(board, dataset=other).outcome == "VALID"
    seal(board, lambda plain: plain["data"].update(name="npz:moved.npz"))
    seal(board, lambda plain: plain["protocol"].update(version=1))
    assert check(board, dataset="digits").outcome == "VALID"
    assert check(board, dataset=other).outcome == "PARTLY CHECKED"
    with pytest.raises(CrossfireError, match="there is no file"):
        check(board, dataset="npz:nowhere.npz")


def small_npz(path: Path) -> str:
    pixels, labels = np.full((40, 8, 8), 9, np.uint8), np.arange(40) % 10
    np.savez(path, x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    return f"npz:{path}"


def test_other_examples_under_a_known_name_are_a_failure(tmp_path: Path) -> None:
    record = make_record(examples=256, dataset="cifar10")
    case = Case(record, tmp_path, Options(dataset="npz:never-read.npz"))
    assert list(data_match(case)) == ["the record's data are not the first 256 examples of cifar10"]


def test_data_that_records_share_are_read_once(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def counted(name: str) -> object:
        loaded.append(name)
        return load_data(name)

    monkeypatch.setattr(datasets, "load", counted)
    path, shown = board.path(only(board)), []
    reports = list(verify_all([path] * 3, Options(), lambda *step: shown.append(step[:2])))
    assert [report.outcome for report in reports] == ["VALID"] * 3
    assert loaded == ["digits"]
    assert shown == [(0, 3), (1, 3), (2, 3), (3, 3)]
    loaded.clear()
    seal(board, lambda plain: plain["data"].update(name="npz:none.npz", sha256="0" * 64))
    path = board.path(only(board))
    assert len(list(verify_all([path] * 3, Options(), lambda *_: None))) == 3
    assert loaded == ["npz:none.npz"]


def test_a_missing_file_is_an_error_before_any_record_is_verified(board: Board) -> None:
    paths = [board.path(only(board)), Path("board/records/none.json")]
    with pytest.raises(CrossfireError, match=r"there is no record .*none\.json"):
        next(verify_all(paths, Options(), lambda *_: None))


def test_the_kept_weights_file_is_a_copy_of_the_checkpoint(board: Board, original: Path) -> None:
    kept = board.weights(only(board))
    assert kept.read_bytes() == (original / "run" / "best.safetensors").read_bytes()
    assert isinstance(load(kept)[1], Metadata)
    assert bench.verify.summary([check(board)] * 2, 3.2).startswith("2 records in 3 s: 2 valid")

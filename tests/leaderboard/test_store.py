import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from leaderboard.errors import LeaderboardError
from leaderboard.schema import from_json
from leaderboard.store import Board, column, columns
from leaderboard.weights import weights_sha256
from tests.records import make_record, make_table

WRITERS = 8
EACH = 5


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board")


def make_checkpoint(path: Path) -> Path:
    save_file({"weight": np.arange(6, dtype=np.float32)}, path, {"crossfire": "{}"})
    return path


def test_an_appended_record_is_read_with_its_evidence(board: Board, tmp_path: Path) -> None:
    record, images = make_record(), tmp_path / "images.safetensors"
    images.write_bytes(b"images")
    table = make_table(record)
    stored = board.append(record, table, images)
    assert board.records() == [stored]
    assert stored == dataclasses.replace(record, evidence=stored.evidence, id="")
    assert stored.evidence is not None
    assert stored.evidence.adversarial is not None
    assert (board.folder / stored.evidence.adversarial.file).read_bytes() == b"images"
    kept = pd.read_parquet(board.folder / stored.evidence.table.file)
    pd.testing.assert_frame_equal(kept.convert_dtypes(), table.convert_dtypes())


def test_adversarial_examples_may_be_omitted(board: Board) -> None:
    record = make_record()
    stored = board.append(record, make_table(record), None)
    assert stored.evidence is not None
    assert stored.evidence.adversarial is None


def test_kept_weights_are_found_by_the_record_and_are_the_same_file(
    board: Board, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(tmp_path / "best.safetensors")
    record = make_record(weights_sha256=weights_sha256(checkpoint))
    assert not board.weights(record).exists()
    kept = board.keep_weights(checkpoint)
    assert kept == board.keep_weights(checkpoint) == board.weights(record)
    assert kept.read_bytes() == checkpoint.read_bytes()
    assert not board.weights(make_record("other")).exists()
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_incomplete_weights_are_refused(board: Board, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "best.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    with pytest.raises(LeaderboardError, match=r"no weights to keep in .*not a complete"):
        board.keep_weights(checkpoint)
    assert list((board.folder / "weights").iterdir()) == []
    with pytest.raises(LeaderboardError, match="there is no checkpoint"):
        board.keep_weights(tmp_path / "none.safetensors")


def test_appending_again_changes_nothing(board: Board) -> None:
    record = make_record()
    board.append(record, make_table(record), None)
    before = {path: path.read_bytes() for path in board.folder.rglob("*.*")}
    board.append(record, make_table(record), None)
    assert {path: path.read_bytes() for path in board.folder.rglob("*.*")} == before


def test_a_board_that_does_not_exist_is_empty(board: Board) -> None:
    assert board.read() == ([], [])


def test_records_come_oldest_first(board: Board) -> None:
    for day in (3, 1, 2):
        record = make_record(f"at{day}", created=f"2026-01-0{day}T00:00:00+00:00")
        board.append(record, make_table(record), None)
    assert [record.model.name for record in board.records()] == ["at1", "at2", "at3"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "changed", "garbage"])
def test_a_damaged_record_is_named_and_the_others_are_read(board: Board, damage: str) -> None:
    kept, damaged = (
        board.append(record, make_table(record), None)
        for record in (make_record("at"), make_record("trades"))
    )
    path = board.path(damaged)
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "truncated": whole[: len(whole) // 2],
            "changed": whole.replace(b'"classes": 10', b'"classes": 11'),
            "garbage": b"\xff\xfe\x00",
        }[damage]
    )
    contents = board.read()
    assert contents.records == [kept]
    assert len(contents.damaged) == 1
    assert str(path) in contents.damaged[0]


def test_drafts_of_a_killed_writer_are_not_read(board: Board) -> None:
    record = make_record()
    stored = board.append(record, make_table(record), None)
    (board.folder / "records" / ".draft-x").write_text("{")
    (board.folder / "records" / ".draft-x.json").write_text("{")
    assert board.read() == ([stored], [])


def test_a_table_that_contradicts_the_record_is_refused_and_nothing_is_written(
    board: Board,
) -> None:
    record = make_record()
    table = make_table(record)
    robust = column("linf:8/255", "pgd-100", "robust")
    for wrong, message in (
        (table.drop(columns=robust), "missing or unknown columns.*robust"),
        (table.assign(extra=1), "missing or unknown columns.*extra"),
        (table.head(10), "10 rows, not 40"),
        (table.assign(**{robust: ~table[robust]}), "contradicts the flags of linf:8/255 pgd-100"),
    ):
        with pytest.raises(ValueError, match=message):
            board.append(record, wrong, None)
    assert not board.folder.exists()


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    record = make_record()
    with pytest.raises(LeaderboardError, match=r"cannot write the board .*file/board"):
        Board(tmp_path / "file" / "board").append(record, make_table(record), None)


def test_the_columns_of_the_evidence_are_those_that_are_documented() -> None:
    names = columns(make_record(threats=("l2:0.5",)))
    assert names[:4] == ["index", "label", "prediction", "margin"]
    assert names[4:] == [
        f"l2:0.5/pgd-100/{what}" for what in ("robust", "attack", "step", "norm", "passes")
    ]


def test_concurrent_writers_lose_nothing(board: Board) -> None:
    here = Path(__file__)
    writers = str(here.with_name("writers.py"))
    command = [sys.executable, writers, str(board.folder), str(WRITERS), str(EACH)]
    path = {"PYTHONPATH": str(here.parents[2])}
    subprocess.run(command, check=True, env=os.environ | path)
    contents = board.read()
    assert not contents.damaged
    assert {(record.model.name, record.model.config["seed"]) for record in contents.records} == {
        (f"writer{writer}", run) for writer in range(WRITERS) for run in range(EACH)
    }
    for record in contents.records:
        assert record.evidence is not None
        assert (board.folder / record.evidence.table.file).exists()
        assert from_json(board.path(record).read_bytes()) == record
    assert not [path for path in os.listdir(board.folder / "evidence") if path.startswith(".")]

"""Records made to deceive a reader, or to harm the machine or the page that shows them."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.evaluation.settings import Settings
from bench.measurement import Measurement
from bench.report.html import render
from bench.verify import Options, verify, verify_all
from leaderboard.ranking import tables
from leaderboard.schema import digest
from leaderboard.store import Board
from tests.bench.verify.conftest import EXAMPLES, Forger, Tensors, train

SOFT = """
import torch
from torch import nn

def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))
"""


def measured(folder: Path, model: str, threat: str) -> Forger:
    """The record of a model on a board of its own."""
    settings = Settings(threat=threat, device="cpu", precision="fp32")
    measurement = Measurement(settings, examples=EXAMPLES, board=folder / "board")
    measurement.measure(model, lambda *_: None)
    return Forger(folder)


def test_the_name_of_a_checkpoint_is_never_read_as_code(
    forger: Forger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("open('ran', 'w')\ndef net(): pass\n")
    shutil.copy(forger.weights, "evil.py:net.safetensors")
    forger.record["model"]["source"] = "evil.py:net.safetensors"
    forger.seal()
    assert verify(forger.path).outcome == "VALID"
    assert not Path("ran").exists()


def test_an_image_of_one_threat_contradicts_robustness_under_another_that_it_meets(
    tmp_path: Path,
) -> None:
    forger = measured(tmp_path, str(train(tmp_path / "runs" / "tiny")), "linf:0.1,l2:0.8")
    assert forger.verify() == []
    head = "l2:0.8/pgd-100"

    def robust(table: pd.DataFrame) -> None:
        table[f"{head}/robust"] = table["prediction"] == table["label"]
        table[f"{head}/attack"] = pd.array([None] * EXAMPLES, dtype="string")
        table[f"{head}/norm"] = np.nan

    def none(tensors: Tensors) -> None:
        for what in ("images", "indices"):
            tensors[f"{head}/{what}"] = tensors[f"{head}/{what}"][:0].clone()

    forger.change_table(robust)
    forger.change_images(none)
    (claimed,) = (v for v in forger.record["verdicts"] if v["threat"] == "l2:0.8")
    claimed["flags"] = forger.record["clean"]
    (other,) = (v for v in forger.record["verdicts"] if v["threat"] != "l2:0.8")
    forger.record["union"] = other["flags"]
    forger.seal()
    assert set(forger.verify()) == {"V08"}


def test_a_finding_that_costs_the_rank_cannot_be_deleted(tmp_path: Path) -> None:
    train(tmp_path / "runs" / "tiny")
    (tmp_path / "soft.py").write_text(SOFT)
    soft = f"{tmp_path / 'soft.py'}:model"
    forger = measured(tmp_path, soft, "linf:0.1")
    assert verify(forger.path, Options(model=soft)).outcome == "VALID"
    forger.record["findings"] = []
    forger.seal()
    (failure,) = verify(forger.path, Options(model=soft)).failures
    assert failure.rule == "V09"
    assert "lacks the finding P6" in failure.message


def test_the_note_that_only_the_union_counts_can_neither_be_added_nor_deleted(
    forger: Forger,
) -> None:
    note = {"id": "A17", "gate": "info", "message": "pruned", "value": None}
    forger.record["findings"].append(note)
    forger.seal()
    assert forger.verify() == ["V06"]


def test_a_record_that_no_rule_can_read_is_invalid_and_does_not_end_the_command(
    forger: Forger, tmp_path: Path
) -> None:
    valid = (
        Path(shutil.copytree(tmp_path / "board", tmp_path / "other") / "records") / forger.path.name
    )
    old, new = "l2:0.4", "linf:5"
    forger.record = json.loads(json.dumps(forger.record).replace(old, new))
    forger.change_table(lambda table: table.rename(columns=lambda name: name.replace(old, new)))

    def rename(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.startswith(old)]:
            tensors[name.replace(old, new)] = tensors.pop(name)

    forger.change_images(rename)
    forger.seal()
    options = Options(model=str(forger.weights))
    forged, other = verify_all([forger.path, valid], options, lambda *_: None)
    assert "allows every image" in forged.text
    assert (forged.outcome, other.outcome) == ("INVALID", "VALID")


def test_control_characters_in_names_of_fields_are_never_printed(forger: Forger) -> None:
    forger.record["x\x1b[2KVALID"] = 1
    forger.seal()
    text = verify(forger.path).text
    assert "\x1b" not in text
    assert "x\\x1b[2KVALID" in text
    (damaged,) = Board(forger.board).read().damaged
    assert "\x1b" not in damaged


def test_a_file_with_a_key_twice_is_no_record(forger: Forger) -> None:
    forger.path.write_text(forger.path.read_text().replace("{", '{"union": "ff", ', 1))
    (failure,) = verify(forger.path).failures
    assert (failure.rule, failure.message) == ("V01", "an object has a key twice")


@pytest.mark.parametrize("text", ["x\x1b[2K", "two\nlines", "left‮right", "a\rb"])
def test_a_text_that_changes_what_a_terminal_shows_is_refused_and_never_printed(
    forger: Forger, text: str
) -> None:
    forger.record["model"]["name"] = text
    forger.record["model"]["config"] = {"teacher": "at-0"}
    forger.seal()
    report = verify(forger.path)
    assert [failure.rule for failure in report.failures] == ["V01"]
    assert text not in report.text
    forger.record["model"].update(name="tiny", config={"teacher": ["at", {"of": text}]})
    forger.seal()
    assert [failure.rule for failure in verify(forger.path).failures] == ["V01"]


def test_a_named_model_is_used_only_for_records_whose_weights_are_not_here(
    forger: Forger, tmp_path: Path
) -> None:
    (tmp_path / "soft.py").write_text(SOFT)
    other = Options(model=f"{tmp_path / 'soft.py'}:model")
    report = verify(forger.path, other)
    assert (report.outcome, report.missing[0].rule) == ("PARTLY CHECKED", "V05")
    forger.record["model"]["source"] = str(forger.weights)
    forger.seal()
    assert verify(forger.path, other).outcome == "VALID"


@pytest.mark.parametrize("source", ["x" * 300 + ".safetensors", "a\\0b", "/private/" * 900])
def test_a_source_that_no_file_can_have_is_missing(forger: Forger, source: str) -> None:
    forger.record["model"]["source"] = source
    forger.seal()
    report = verify(forger.path)
    assert report.outcome == "PARTLY CHECKED"
    assert [gap.rule for gap in report.missing] == ["V05", "V09", "V10"]


def test_damaged_weights_and_evidence_never_end_the_verification(
    forger: Forger, tmp_path: Path
) -> None:
    forger.record["model"]["source"] = str(forger.weights)
    forger.seal()
    deep = ("[" * 100_000).encode()
    forger.weights.write_bytes(len(deep).to_bytes(8, "little") + deep)
    assert verify(forger.path).outcome == "PARTLY CHECKED"
    path = forger.board / forger.record["evidence"]["table"]["file"]
    path.unlink()
    path.mkdir()
    assert [failure.rule for failure in verify(forger.path).failures] == ["V02"]


@pytest.mark.parametrize("place", ["seconds", "epoch", "finding"])
def test_a_number_too_large_for_a_float_makes_a_damaged_record_and_leaves_the_others(
    forger: Forger, place: str
) -> None:
    record = json.loads(json.dumps(forger.record))
    if place == "finding":
        finding = {"id": "P9", "gate": "info", "message": "few classes", "value": 10**400}
        record["findings"].append(finding)
    else:
        record["model"]["training"][place] = 10**400
    record["id"] = digest(record)
    (forger.board / "records" / "bad.json").write_text(json.dumps(record))
    board = Board(forger.board).read()
    assert (len(board.records), len(board.damaged)) == (1, 1)


def test_values_nested_to_the_limit_of_the_program_are_a_damaged_record(forger: Forger) -> None:
    limit, path = sys.getrecursionlimit(), forger.board / "records" / "bad.json"
    for depth in range(limit - 150, limit, 3):
        record = json.loads(json.dumps(forger.record))
        record["model"]["config"] = {
            "x": json.loads("[" * (limit - 400) + '"\\\\"' + "]" * (limit - 400))
        }
        for _ in range(depth - limit + 400):
            record["model"]["config"] = {"x": record["model"]["config"]}
        sys.setrecursionlimit(10 * limit)
        try:
            record["id"] = digest(record)
            path.write_text(json.dumps(record))
        finally:
            sys.setrecursionlimit(limit)
        board = Board(forger.board).read()
        assert len(board.records) + len(board.damaged) == 2
    assert board.damaged


def test_a_sample_is_named(forger: Forger) -> None:
    assert "images of each kind" not in verify(forger.path).text
    report = verify(forger.path, Options(sample=3))
    assert "; 3 images of each kind checked" in report.text


def test_a_record_from_the_future_is_refused(forger: Forger) -> None:
    forger.record["created"] = "9999-12-31T00:00:00+00:00"
    forger.seal()
    assert [failure.rule for failure in verify(forger.path).failures] == ["V01"]


def test_a_protocol_that_never_was_is_refused(forger: Forger) -> None:
    forger.record["protocol"]["version"] = 0
    forger.seal()
    assert [failure.rule for failure in verify(forger.path).failures] == ["V01"]


def test_a_copy_of_a_record_counts_once(forger: Forger) -> None:
    shutil.copy(forger.path, forger.path.with_name("again.json"))
    assert len(Board(forger.board).records()) == 1


def test_a_record_without_the_facts_of_its_training_is_shown(forger: Forger) -> None:
    unknown = dict.fromkeys(("threats", "forward_passes", "backward_passes", "seconds"))
    forger.record["model"]["training"].update(unknown)
    forger.seal()
    assert forger.verify() == []
    board = Board(forger.board)
    assert "tiny" in render(tables(board.records()), forger.board)

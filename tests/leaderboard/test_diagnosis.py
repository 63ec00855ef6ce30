"""Diagnoses on a board: added, never changed, and found by the hash of the weights."""

import dataclasses
from pathlib import Path

import pytest

from leaderboard.diagnosis import Check, Diagnosis, from_json, keep, kept, to_json
from leaderboard.store import Board
from tests.records import sha

PASS = Check("P1", "outputs not finite", "pass", 0.0, "number", "fail > 0", "proposed", "")
FAIL = Check("A8", "a black box breaks more", "fail", 0.25, "share", "fail > 3 %", "X", "mend it")


def make_diagnosis(*checks: Check, weights: str = sha("at"), **changes: str) -> Diagnosis:
    made = Diagnosis(
        created="2026-01-01T00:00:00+00:00",
        crossfire="0.1.0",
        model="at",
        source="runs/at",
        weights_sha256=weights,
        dataset="digits",
        threat="linf:0.25",
        examples=96,
        correct=90,
        standing=40,
        seed=0,
        seconds=9.5,
        checks=checks or (PASS,),
    )
    return dataclasses.replace(made, **changes)


def test_a_diagnosis_is_read_as_it_was_written() -> None:
    diagnosis = make_diagnosis(PASS, FAIL)
    assert from_json(to_json(diagnosis)) == diagnosis
    assert '"conclusion": "Do not believe' in to_json(diagnosis)
    with pytest.raises(ValueError, match="not a diagnosis"):
        from_json("[]")


def test_one_failing_check_makes_the_accuracy_unreliable_and_is_named() -> None:
    assert "a black box breaks more (A8)" in make_diagnosis(PASS, FAIL).conclusion
    assert make_diagnosis(PASS).conclusion.startswith("No reason to doubt")


def test_a_board_keeps_every_diagnosis_and_shows_the_newest(tmp_path: Path) -> None:
    board = Board(tmp_path)
    old, new = make_diagnosis(FAIL), make_diagnosis(PASS, created="2026-02-01T00:00:00+00:00")
    other = make_diagnosis(threat="l2:0.5")
    paths = {keep(board, diagnosis) for diagnosis in (new, old, other, old)}
    assert len(paths) == 3
    shown = kept(tmp_path, [sha("at")])
    assert sorted(shown, key=lambda diagnosis: diagnosis.threat) == [other, new]


@pytest.mark.parametrize("damage", ["{", "[" * 10**6], ids=["cut", "deeply nested"])
def test_other_and_damaged_files_are_skipped(tmp_path: Path, damage: str) -> None:
    path = keep(Board(tmp_path), make_diagnosis())
    path.write_text(damage)
    same_head = sha("at")[:16] + sha("other")[16:]
    keep(Board(tmp_path), make_diagnosis(weights=same_head))
    assert kept(tmp_path, [sha("at")]) == []
    assert kept(tmp_path, [sha("other")]) == []

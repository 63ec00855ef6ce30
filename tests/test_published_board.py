"""The published boards: complete records of clean commits, by the present protocol."""

from pathlib import Path

import pytest

from bench import evaluate
from bench.data import load as load_data
from bench.evaluation.protocol import VERSION
from bench.models.checkpoint import load, read
from bench.verify import Options
from bench.verify.case import Case
from bench.verify.rules import protocol_hash_matches
from leaderboard.flags import unpack
from leaderboard.releases import frozen_records, get, latest
from leaderboard.store import Board
from leaderboard.weights import weights_sha256

HERE = Path(__file__).parents[1] / "leaderboard"
BOARDS = [Board(HERE / name) for name in ("published", "further", "trials")]
BOARD = BOARDS[0]
RECORDS = [(board, record) for board in BOARDS for record in board.records()]


def test_no_record_is_damaged_and_the_first_seed_has_its_images() -> None:
    assert [board.read().damaged for board in BOARDS] == [[], [], []]
    assert len([r for r in BOARD.records() if r.evidence.adversarial]) >= 16


def test_every_record_names_a_clean_commit_and_no_local_path() -> None:
    for board, record in RECORDS:
        assert record.environment.commit, record.id
        assert record.environment.dirty is False, record.id
        assert not Path(record.model.source).is_absolute(), record.id
        assert "/tmp" not in board.path(record).read_text(), record.id


def test_the_protocol_of_every_record_is_that_of_the_present_suites() -> None:
    """When this fails a suite has changed: raise the VERSION of the protocol, then `make board`."""
    present = [(board, record) for board, record in RECORDS if record.protocol.version == VERSION]
    assert {board.folder.name for board, _ in present} == {"published", "further", "trials"}
    for board, record in present:
        case = Case(record, board.folder, Options())
        assert list(protocol_hash_matches(case)) == [], record.id


def test_the_readme_counts_records_with_weights_and_images() -> None:
    records = BOARD.records()
    both = [r for r in records if r.evidence.adversarial and BOARD.weights(r).exists()]
    counted = f"{len(both)} of the {len(records)} records in `leaderboard/published`"
    assert counted in (HERE.parent / "README.md").read_text()


def test_records_are_of_public_data() -> None:
    assert {record.data.called for _, record in RECORDS} == {"digits", "cifar10"}


def test_stored_weights_are_complete_and_those_of_a_record() -> None:
    measured = {BOARD.weights(r): r.model.weights_sha256 for r in BOARD.records()}
    kept = list((BOARD.folder / "weights").glob("*"))
    assert {path: weights_sha256(path) for path in kept}.items() <= measured.items()


def test_stored_weights_name_no_local_path() -> None:
    breadth = HERE.parent / "benchmarks" / "breadth"
    for path in (*(BOARD.folder / "weights").glob("*"), *breadth.glob("*.safetensors")):
        _, text = read(path)
        assert text is not None, path
        assert '"/' not in text, path
        assert "npz:/" not in text, path


def test_releases_are_complete() -> None:
    assert latest(BOARD) >= 2
    for number in range(1, latest(BOARD) + 1):
        assert frozen_records(BOARD, get(BOARD, number))


@pytest.mark.parametrize("defense", ["undefended", "at", "avg"])
def test_measured_again_a_published_model_of_digits_has_the_same_verdicts(defense: str) -> None:
    """But for one image a column: processors round differently."""
    record = next(
        record
        for record in BOARD.records()
        if (record.model.defense, record.data.called) == (defense, "digits")
        and record.protocol.version == VERSION
        and BOARD.weights(record).exists()
    )
    model, _ = load(BOARD.weights(record))
    split = load_data("digits").test.take(32)
    outcome = evaluate(
        model,
        split.images,
        split.labels,
        threat=",".join(record.protocol.threats),
        seed=record.protocol.seed,
        precision="fp32",
        display="none",
    )
    for (threat, suite), column in outcome.columns.items():
        published = unpack(record.measured[f"{threat}/{suite}"], record.data.examples)[:32]
        assert 3 < published.sum() < 32 or defense == "undefended"
        assert int((column.robust != published).sum()) <= 1, threat

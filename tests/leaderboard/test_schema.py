import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard import flags
from leaderboard.schema import Finding, Record, digest, from_json, to_json
from tests.records import make_record

FIXTURES = Path(__file__).parent / "fixtures"


def changed(record: Record, **parts: dict[str, Any]) -> Record:
    """The record with fields of its parts replaced."""
    new = {name: dataclasses.replace(getattr(record, name), **to) for name, to in parts.items()}
    return dataclasses.replace(record, id="", **new)


@given(examples=st.integers(1, 80), seed=st.integers(0, 5))
def test_json_round_trips(examples: int, seed: int) -> None:
    finding = Finding("P4", "flag", "two passes differ", 0.1)
    record = make_record(examples=examples, seed=seed, findings=(finding,), training={"seed": seed})
    assert from_json(to_json(record)) == record
    assert from_json(to_json(record)).id == record.id


def test_the_id_is_the_digest_of_the_content_and_changes_with_it() -> None:
    record = make_record()
    assert record.id == digest(json.loads(to_json(record)))
    assert dataclasses.replace(record, command="bench evaluate", id="").id != record.id


def test_reordered_and_reindented_json_is_the_same_record() -> None:
    record = make_record()
    data = json.loads(to_json(record))
    assert from_json(json.dumps(dict(reversed(data.items())), indent=7)) == record


@pytest.mark.parametrize("version", [1])
def test_records_of_every_schema_version_stay_readable(version: int) -> None:
    record = from_json((FIXTURES / f"record-v{version}.json").read_bytes())
    assert (record.model.name, flags.count(record.union)) == ("at", 9)


def test_a_changed_number_is_detected() -> None:
    text = to_json(make_record()).replace('"seconds": 1.5', '"seconds": 1.6', 1)
    with pytest.raises(ValueError, match="was changed"):
        from_json(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"id": 3}', '"record"'])
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"record|Expecting"):
        from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surplus": 1}, "missing or unknown fields: surplus"),
        ({"model": {}}, "Model has missing or unknown fields"),
        ({"model": []}, "Model must be an object"),
        ({"schema": 2}, "schema 2 is unknown"),
        ({"created": "2026-01-01T00:00:00"}, "UTC"),
        ({"created": "yesterday"}, "isoformat"),
        ({"command": None}, "Record.command must be str"),
    ],
)
def test_a_malformed_field_is_named(change: dict[str, Any], message: str) -> None:
    data = json.loads(to_json(make_record())) | change
    with pytest.raises(ValueError, match=message):
        from_json(json.dumps(data | {"id": digest(data)}))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"model": {"weights_sha256": "abc"}}, "Model.weights_sha256 must be a sha256"),
        ({"model": {"parameters": 1.5}}, "Model.parameters must be int"),
        ({"model": {"parameters": True}}, "Model.parameters must be int"),
        ({"model": {"config": {"lr": float("nan")}}}, "not JSON compliant"),
        ({"model": {"config": {"lr": object}}}, "plain JSON values"),
        ({"data": {"examples": 0}}, "Data.examples must be at least 1"),
        ({"data": {"examples": 48}}, "cannot hold the flags of 48 examples"),
        ({"data": {"sha256": "A" * 64}}, "Data.sha256 must be a sha256"),
        ({"protocol": {"sha256": ""}}, "Protocol.sha256 must be a sha256"),
        ({"protocol": {"threats": ["linf:8/255"]}}, "Protocol.threats must be tuple"),
        ({"protocol": {"threats": ("linf:0",)}}, "'linf:0' is not a threat"),
        ({"protocol": {"suites": ("pgd-100", "autoattack")}}, "are not those of the protocol"),
    ],
)
def test_a_part_with_a_wrong_value_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(make_record(), **parts)


def test_a_union_that_is_not_the_conjunction_is_refused() -> None:
    record = make_record()
    with pytest.raises(ValueError, match="union is not"):
        dataclasses.replace(record, union=record.clean, id="")


def test_an_example_cannot_be_robust_that_is_wrong_when_clean() -> None:
    record = make_record(examples=2, accuracies=(0.5, 0.0, 0.0, 0.0))
    verdicts = tuple(dataclasses.replace(verdict, flags="c0") for verdict in record.verdicts)
    assert flags.count(record.clean) < 2
    with pytest.raises(ValueError, match="has flags set that clean has not"):
        dataclasses.replace(record, verdicts=verdicts, id="")


def test_each_threat_and_suite_needs_exactly_one_verdict() -> None:
    record = make_record()
    with pytest.raises(ValueError, match="not those of the protocol"):
        dataclasses.replace(record, verdicts=record.verdicts[:2], id="")


def test_evidence_outside_the_board_is_refused() -> None:
    data = json.loads(to_json(make_record()))
    for file in ("/etc/passwd", "../secret.parquet"):
        data["evidence"] = {"table": {"file": file, "sha256": "0" * 64}, "adversarial": None}
        with pytest.raises(ValueError, match="stay inside the board"):
            from_json(json.dumps(data | {"id": digest(data)}))


@pytest.mark.parametrize(
    "training",
    [{"seed": [0]}, {"seed": True}, {"threats": 5}, {"threats": ["nonsense"]}, {"seconds": "9"}],
)
def test_facts_of_a_training_that_rows_are_made_of_have_their_types(
    training: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match=r"Model\.training|is not a threat"):
        make_record(training=training)


def test_json_that_is_nested_too_deeply_is_no_record() -> None:
    with pytest.raises(ValueError, match="nested"):
        from_json("[" * 100_000 + "]" * 100_000)

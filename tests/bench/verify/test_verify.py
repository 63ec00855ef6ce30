"""A valid record is VALID, and a change of any single value, byte or weight is found."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from bench.evaluation.settings import Settings
from bench.measurement import Measurement
from bench.verify import Options, verify
from tests.bench.verify.conftest import L2, LINF, Forger


def test_the_record_is_valid_and_has_broken_examples(forger: Forger) -> None:
    assert forger.verify() == []
    assert len(load_file(forger.board / forger.record["evidence"]["adversarial"]["file"])) == 6
    broken = {v["threat"]: v["flags"] != forger.record["clean"] for v in forger.record["verdicts"]}
    assert broken == {LINF: True, L2: True}


def test_rewriting_files_without_a_change_leaves_the_record_valid(forger: Forger) -> None:
    forger.change_table(lambda table: None)
    forger.change_images(lambda tensors: None)
    forger.seal()
    assert forger.verify() == []


@pytest.mark.parametrize("sample", [1, 5])
def test_a_record_is_valid_by_a_sample(forger: Forger, sample: int) -> None:
    assert forger.verify(sample=sample) == []


# Changes without a new id.


def leaves(value: object, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*where, key))
    else:
        yield where


def other(value: object) -> object:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if value[:1] in "0123456789abcdef" and value:
            return ("1" if value[0] == "0" else "0") + value[1:]
        case _:
            return f"{value}x"


def test_a_change_of_any_value_of_a_record_is_found(forger: Forger) -> None:
    places = list(leaves(forger.record))
    assert len(places) > 50
    for *parents, last in places:
        changed = copy.deepcopy(forger.record)
        inner: Any = changed
        for key in parents:
            inner = inner[key]
        inner[last] = other(inner[last])
        forger.path.write_text(json.dumps(changed))
        assert forger.verify() == ["V01"], (*parents, last)


@pytest.mark.parametrize("kind", ["table", "adversarial"])
def test_a_changed_byte_of_the_evidence_is_found(forger: Forger, kind: str) -> None:
    path = forger.board / forger.record["evidence"][kind]["file"]
    whole = path.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert forger.verify() == ["V02"]
    path.unlink()
    assert forger.verify() == ["V02"]


def test_changed_weights_are_found(forger: Forger) -> None:
    tensors = load_file(forger.weights)
    from safetensors import safe_open

    with safe_open(forger.weights, "pt") as file:
        header = file.metadata()
    tensors["linear2.bias"][0] += 1e-6
    save_file(tensors, forger.weights, header)
    report = verify(forger.path, Options(model=str(forger.weights)))
    assert "the named model has other weights" in report.text
    assert report.outcome == "PARTLY CHECKED"


RANDOM = """
import torch
from torch import nn


class Noisy(nn.Module):
    def forward(self, x):
        return (x + 0.1 * torch.randn_like(x)).flatten(1)[:, :10]


def model():
    return Noisy()
"""


def test_a_record_of_a_random_model_is_valid(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(RANDOM)
    model = f"{tmp_path / 'mine.py'}:model"
    settings = Settings(threat="linf:0.05", device="cpu")
    measurement = Measurement(settings, examples=64, board=tmp_path / "board")
    measurement.measure(model, lambda *_: None)
    (path,) = (tmp_path / "board" / "records").glob("*.json")
    report = verify(path, Options(model=model))
    assert report.outcome == "VALID", report.text
    assert [gap.rule for gap in report.left_out] == ["V10"]

"""Records that claim more than their evidence shows, although every hash was computed anew."""

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.data import load
from bench.verify import Options, verify
from leaderboard.flags import pack, unpack
from leaderboard.weights import weights_sha256
from tests.bench.verify.conftest import EXAMPLES, LINF, Forger, Tensors
from tests.bench.verify.test_forged import first_broken, flip


def perfect(forger: Forger) -> None:
    """Claim that every image is classified correctly and robust."""
    ones = pack(np.ones(EXAMPLES, bool))
    forger.record.update(clean=ones, union=ones)
    heads = [f"{verdict['threat']}/{verdict['suite']}" for verdict in forger.record["verdicts"]]
    for verdict in forger.record["verdicts"]:
        verdict["flags"] = ones

    def robust(table: pd.DataFrame) -> None:
        for head in heads:
            table[f"{head}/robust"] = True
            table[f"{head}/attack"] = pd.array([None] * EXAMPLES, dtype="string")
            table[f"{head}/norm"] = np.nan

    def none(tensors: Tensors) -> None:
        for name in [f"{head}/{what}" for head in heads for what in ("images", "indices")]:
            tensors[name] = tensors[name][:0].clone()

    forger.change_table(robust)
    forger.change_images(none)


@pytest.mark.parametrize("gate", ["info", "flag"])
def test_a_model_that_is_called_random_is_still_held_to_its_clean_flags(
    forger: Forger, gate: str
) -> None:
    finding = {"id": "P4", "gate": gate, "message": "random", "value": None}
    forger.record["findings"].append(finding)
    example = first_broken(forger)

    def misclassified(table: pd.DataFrame) -> None:
        table.loc[example, "prediction"] = (table.loc[example, "label"] + 1) % 10

    forger.change_table(misclassified)
    forger.seal()
    assert forger.verify() == ["V03"]


def scale_logits(forger: Forger, factor: float) -> None:
    """Multiply the last layer's weights, and name the new ones in the record."""
    tensors = load_file(forger.weights)
    with safe_open(forger.weights, "pt") as file:
        metadata = file.metadata()
    for name in ("linear2.weight", "linear2.bias"):
        tensors[name] *= factor
    save_file(tensors, forger.weights, metadata)
    forger.record["model"]["weights_sha256"] = weights_sha256(forger.weights)


def test_margins_are_compared_however_small_the_logits_are(forger: Forger) -> None:
    scale_logits(forger, 1e-6)
    forger.change_table(lambda table: table.__setitem__("margin", 0.0))
    forger.seal()
    assert forger.verify() == ["V09"]


@pytest.mark.parametrize("random", [False, True])
def test_predictions_are_compared_however_small_the_logits_are(
    forger: Forger, random: bool
) -> None:
    scale_logits(forger, -1e-6)  # hardly any image is classified correctly
    if random:
        finding = {"id": "P4", "gate": "flag", "message": "random", "value": None}
        forger.record["findings"].append(finding)
    perfect(forger)

    def claim(table: pd.DataFrame) -> None:
        table["prediction"], table["margin"] = table["label"], 1e-7

    forger.change_table(claim)
    forger.seal()
    assert set(forger.verify()) == {"V09"}


def test_predictions_that_are_no_classes_are_found(forger: Forger) -> None:
    forger.change_table(lambda table: table.__setitem__("prediction", table["prediction"] + 99))
    forger.seal()
    assert forger.verify() == ["V03"]


def test_a_newer_protocol_than_this_program_knows_is_not_called_valid(forger: Forger) -> None:
    forger.record["protocol"]["version"] = 99
    forger.seal()
    report = verify(forger.path, Options(model=str(forger.weights)))
    assert report.outcome == "PARTLY CHECKED"
    assert [gap.rule for gap in report.missing] == ["V06"]


def test_a_sample_still_finds_forged_images(forger: Forger) -> None:
    clean = load("digits").test.floats()

    def change(tensors: Tensors) -> None:
        tensors[f"{LINF}/pgd-100/images"][:] = clean[tensors[f"{LINF}/pgd-100/indices"]]

    forger.change_images(change)
    forger.seal()
    assert {"V08", "V10"} <= set(forger.verify(sample=5))


def test_an_example_that_no_attack_broke_cannot_be_called_skipped(forger: Forger) -> None:
    example = int(np.flatnonzero(unpack(forger.record["union"], EXAMPLES))[0])

    def skip(table: pd.DataFrame) -> None:
        for verdict in forger.record["verdicts"]:
            head = f"{verdict['threat']}/{verdict['suite']}"
            table.loc[example, f"{head}/robust"] = False
            table.loc[example, f"{head}/attack"] = "pruned"
            verdict["flags"] = flip(verdict["flags"], example)

    forger.change_table(skip)
    forger.record["union"] = flip(forger.record["union"], example)
    forger.seal()
    assert set(forger.verify()) == {"V03"}
    note = {"id": "A17", "gate": "info", "message": "pruned", "value": None}
    forger.record["findings"].append(note)
    forger.seal()
    assert set(forger.verify()) == {"V06", "V07"}

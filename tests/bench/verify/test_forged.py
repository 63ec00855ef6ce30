"""A forged record, whose id matches its changed content, is invalid because its parts disagree."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.data import load
from bench.errors import CrossfireError
from bench.verify import Options, verify
from leaderboard.flags import pack, unpack
from tests.bench.verify.conftest import EXAMPLES, L2, LINF, Forger, Json, Tensors


def flip(text: str, example: int) -> str:
    bits = unpack(text, EXAMPLES)
    bits[example] = ~bits[example]
    return pack(bits)


def first_broken(forger: Forger, verdict: int = 0) -> int:
    clean = unpack(forger.record["clean"], EXAMPLES)
    robust = unpack(forger.record["verdicts"][verdict]["flags"], EXAMPLES)
    return int(np.flatnonzero(clean & ~robust)[0])


def test_the_flags_of_the_record_are_those_of_the_table(forger: Forger) -> None:
    example = first_broken(forger)
    for verdict in forger.record["verdicts"]:
        if not unpack(verdict["flags"], EXAMPLES)[example]:
            verdict["flags"] = flip(verdict["flags"], example)
    forger.record["union"] = flip(forger.record["union"], example)
    forger.seal()
    assert forger.verify() == ["V03"] * 2


def test_a_union_that_is_not_the_conjunction_is_no_record(forger: Forger) -> None:
    forger.record["union"] = flip(forger.record["union"], first_broken(forger))
    forger.seal()
    assert forger.verify() == ["V01"]


def test_a_flag_set_in_record_and_table_still_has_its_adversarial_example(forger: Forger) -> None:
    example = first_broken(forger)

    def set_robust(table: pd.DataFrame) -> None:
        for verdict in forger.record["verdicts"]:
            head = f"{verdict['threat']}/{verdict['suite']}"
            table.loc[example, f"{head}/robust"] = True
            table.loc[example, [f"{head}/attack", f"{head}/norm"]] = None
            bits = unpack(verdict["flags"], EXAMPLES)
            bits[example] = True
            verdict["flags"] = pack(bits)

    forger.change_table(set_robust)
    forger.record["union"] = flip(forger.record["union"], example)
    forger.seal()
    assert set(forger.verify()) == {"V07"}


TABLE = {
    "label": ("V03", "label"),
    "prediction": ("V03", "prediction"),
    "margin": ("V09", "margin"),
    "norm": ("V08", f"{LINF}/pgd-100/norm"),
    "passes": ("V11", f"{LINF}/pgd-100/passes"),
}


@pytest.mark.parametrize(("rule", "column"), TABLE.values(), ids=TABLE)
def test_a_change_of_any_column_of_the_table_is_found(
    forger: Forger, rule: str, column: str
) -> None:
    example = first_broken(forger)

    def change(table: pd.DataFrame) -> None:
        values = table[column].to_numpy(copy=True)
        values[example] = (values[example] + 1) % 10
        table[column] = values

    forger.change_table(change)
    forger.seal()
    assert forger.verify() == [rule]


def test_labels_are_those_of_the_data_set(forger: Forger) -> None:
    def change(table: pd.DataFrame) -> None:
        for column in ("label", "prediction"):
            table[column] = (table[column] + (table["index"] == 0)) % 10

    forger.change_table(change)
    forger.seal()
    assert forger.verify() == ["V04"]


def test_attacks_and_rows_fit_the_flags(forger: Forger) -> None:
    forger.change_table(lambda table: table.drop(index=0))
    forger.seal()
    assert forger.verify() == ["V03"]


RECORD: dict[str, tuple[str, Callable[[Json], None]]] = {
    "data hash": ("V04", lambda r: r["data"].update(sha256="0" * 64)),
    "protocol hash": ("V06", lambda r: r["protocol"].update(sha256="0" * 64)),
    "protocol seed": ("V06", lambda r: r["protocol"].update(seed=1)),
    "forward passes": ("V11", lambda r: r["verdicts"][0].update(forward_passes=1)),
    "backward passes": ("V11", lambda r: r["verdicts"][1].update(backward_passes=1)),
    "no evidence": ("V02", lambda r: r.update(evidence=None)),
}


@pytest.mark.parametrize(("rule", "change"), RECORD.values(), ids=RECORD)
def test_a_new_id_does_not_hide_values_that_contradict_the_evidence(
    forger: Forger, rule: str, change: Callable[[Json], None]
) -> None:
    change(forger.record)
    forger.seal()
    assert forger.verify() == [rule]


def test_a_model_with_other_weights_than_the_records_is_not_its_model(forger: Forger) -> None:
    forger.record["model"]["weights_sha256"] = "0" * 64
    forger.seal()
    report = verify(forger.path, Options(model=str(forger.weights)))
    assert report.outcome == "PARTLY CHECKED"
    assert {gap.rule for gap in report.missing} == {"V05", "V09", "V10"}
    assert report.missing[0].why.startswith("the named model has other weights, ")


def test_a_larger_epsilon_than_was_measured_is_another_protocol(forger: Forger) -> None:
    forger.record["protocol"]["threats"][0] = "linf:0.2"
    forger.record["verdicts"][0]["threat"] = "linf:0.2"
    forger.change_table(lambda t: t.rename(columns=lambda c: c.replace(LINF, "linf:0.2")))

    def rename(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[name.replace(LINF, "linf:0.2")] = tensors.pop(name)

    forger.change_images(rename)
    forger.seal()
    assert forger.verify() == ["V06"]


def test_a_perturbation_outside_the_ball_is_found(forger: Forger) -> None:
    def change(tensors: Tensors) -> None:
        pixel = tensors[f"{LINF}/pgd-100/images"][0, 0, 4, 4]
        pixel += 0.11 if pixel < 0.5 else -0.11

    forger.change_images(change)
    forger.seal()
    assert forger.verify()[:2] == ["V08", "V08"]


@pytest.mark.parametrize("value", [-0.001, 1.001, float("nan")])
def test_a_pixel_outside_the_box_is_found(forger: Forger, value: float) -> None:
    forger.change_images(lambda t: t[f"{L2}/pgd-100/images"][0].view(-1)[:1].fill_(value))
    forger.seal()
    assert "V08" in forger.verify()


def test_an_image_that_is_classified_correctly_is_found(forger: Forger) -> None:
    clean = load("digits").test.floats()

    def change(tensors: Tensors) -> None:
        tensors[f"{LINF}/pgd-100/images"][0] = clean[tensors[f"{LINF}/pgd-100/indices"][0]]

    forger.change_images(change)
    example = first_broken(forger)
    forger.change_table(lambda t: t.__setitem__(f"{LINF}/pgd-100/norm", zeroed(t, example)))
    forger.seal()
    assert forger.verify() == ["V10"]


def zeroed(table: pd.DataFrame, example: int) -> "pd.Series[float]":
    norms = table[f"{LINF}/pgd-100/norm"].copy()
    norms[example] = 0.0
    return norms


def test_the_unperturbed_images_are_the_data_sets(forger: Forger) -> None:
    forger.change_images(lambda tensors: tensors["originals/images"][0].add_(1))
    forger.seal()
    assert forger.verify() == ["V08"]


def test_left_out_examples_are_reported_as_not_checked(forger: Forger) -> None:
    forger.record["evidence"]["adversarial"] = None
    forger.seal()
    report = verify(forger.path, Options(model=str(forger.weights)))
    assert report.outcome == "VALID"
    assert [gap.rule for gap in report.left_out] == ["V07", "V08", "V10"]


def test_a_folder_named_in_the_record_may_have_dots(
    forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = forger.weights.parent.rename(forger.weights.parent.with_name("tiny-l2-0.4"))
    monkeypatch.chdir(folder.parents[1])
    forger.record["model"]["source"] = "runs/tiny-l2-0.4"
    forger.seal()
    assert verify(forger.path).failures == ()


def test_a_python_file_runs_only_if_it_is_named_in_the_options(
    forger: Forger, tmp_path: Path
) -> None:
    program = tmp_path / "model.py"
    program.write_text("raise SystemExit('it ran')\n")
    forger.record["model"]["source"] = f"{program}:make"
    forger.seal()
    report = verify(forger.path)
    assert report.outcome == "PARTLY CHECKED"
    assert [gap.rule for gap in report.missing] == ["V05", "V09", "V10"]


def test_a_missing_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CrossfireError, match="there is no record"):
        verify(tmp_path / "records" / "x.json")

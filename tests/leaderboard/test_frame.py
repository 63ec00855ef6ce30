from dataclasses import replace
from statistics import stdev

import pytest

from leaderboard.flags import count
from leaderboard.frame import cells, frame, measured
from leaderboard.ranking import tables
from leaderboard.schema import Finding, Record
from leaderboard.seeds import estimate
from leaderboard.statistics import wilson
from tests.records import make_record


def test_accuracies_and_intervals_follow_from_the_flags() -> None:
    record = make_record(examples=200)
    (row,) = cells(tables([record])[0])
    assert measured(row) == list(record.measured)
    for name, flags in record.measured.items():
        interval = (row[f"{name}_low"], row[f"{name}_high"])
        assert row[name] == pytest.approx(count(flags) / 200, abs=1e-6)
        assert interval == pytest.approx(wilson(count(flags), 200), abs=1e-6)


def test_columns_run_suite_by_suite() -> None:
    record = make_record(threats=("linf:8/255", "l2:0.5"), suites=("pgd-100", "autoattack"))
    (row,) = cells(tables([record])[0])
    assert measured(row) == [
        "clean",
        "linf:8/255/pgd-100",
        "l2:0.5/pgd-100",
        "linf:8/255/autoattack",
        "l2:0.5/autoattack",
        "union",
    ]


def test_a_row_names_the_arithmetic_of_its_runs_and_that_of_the_table() -> None:
    runs = [
        make_record("a", seed=seed, training={"seed": seed}, precision=precision)
        for seed, precision in enumerate(("fp32", "bf16"))
    ]
    rows = cells(tables([*runs, make_record("b", accuracies=(0.9, 0.1, 0.1, 0.1))])[0])
    assert [row["arithmetic"] for row in rows] == ["bf16 fp32", "bf16"]
    assert {row["arithmetics"] for row in rows} == {"bf16 fp32"}


def test_several_runs_give_means_and_their_spread() -> None:
    runs = [
        make_record("a", seed=seed, training={"seed": seed, "forward_passes": 100, "seconds": 2.5})
        for seed in range(3)
    ]
    (row,) = cells(tables(runs)[0])
    assert row["runs"] == 3
    assert row["union"] == pytest.approx(sum(count(run.union) for run in runs) / 120, abs=1e-6)
    assert row["union_sd"] == pytest.approx(stdev(tables(runs)[0].rows[0].accuracies), abs=1e-6)
    ends = (row["union_low"], row["union_high"])
    assert ends == pytest.approx(estimate([run.union for run in runs], 40)[1:], abs=1e-6)
    assert (row["training_forward_passes"], row["training_seconds"]) == (100, 2)
    assert row["training_backward_passes"] is None


def test_rows_of_the_same_name_are_distinguished_by_the_model() -> None:
    records = [make_record(name, defense="at") for name in ("eps-4", "eps-8")]
    assert {row["defense"] for row in cells(tables(records)[0])} == {"at (eps-4)", "at (eps-8)"}


def test_the_runs_of_several_seeds_are_named_after_their_recipe() -> None:
    def record(name: str, seed: int, threat: str) -> Record:
        training = {"seed": seed, "threats": [threat]}
        return make_record(name, seed=seed, defense="at", training=training)

    several = [record(f"{norm}-{k}", k, f"{norm}:1") for norm in ("linf", "l2") for k in (0, 1)]
    records = [*several, record("mine", 5, "l1:1")]
    assert {row["defense"] for row in cells(tables(records)[0])} == {
        *("at linf 1", "at l2 1"),
        "at (mine)",
    }


def test_the_frame_holds_the_same_rows() -> None:
    finding = Finding("A8", "flag", "Square breaks more", None)
    table = tables([make_record("a"), make_record("b", findings=(finding,))])[0]
    rows = frame(table)
    assert rows["defense"].tolist() == ["a", "b"]
    assert rows["rank_low"].isna().tolist() == rows["rank_high"].isna().tolist() == [False, True]
    assert rows["reason"].tolist() == ["", "Square breaks more"]


def test_the_checkpoints_best_and_last_are_named_after_their_run() -> None:
    model = make_record("best", defense="at").model
    assert replace(model, source="runs/at-l2/best.safetensors").called == "at-l2"
    assert replace(model, source="best.safetensors").called == "best"
    assert replace(model, name="mine", source="runs/at/mine.safetensors").called == "mine"

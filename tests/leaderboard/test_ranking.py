import dataclasses

from leaderboard.frame import cells
from leaderboard.known import expected
from leaderboard.ranking import Row, Table, tables
from leaderboard.schema import Finding, Record
from leaderboard.separation import Ranks
from tests.records import make_record

CLOSE = (0.9, 0.62, 0.62, 0.62)
FAR = (0.9, 0.1, 0.1, 0.1)


def only_table(records: list[Record]) -> Table:
    (table,) = tables(records)
    return table


def ranks(table: Table) -> dict[str, Ranks | None]:
    return {row.name: row.ranks for row in table.rows}


def flagged(record: Record, gate: str) -> Record:
    finding = Finding("A8", gate, "Square breaks more than APGD", 3.0)  # type: ignore[arg-type]
    return dataclasses.replace(record, findings=(finding,), id="")


def test_rows_are_ordered_by_accuracy() -> None:
    table = only_table([make_record(f"m{i}", accuracies=(0.9, i / 4, 0.8, 0.8)) for i in range(3)])
    assert [row.accuracy for row in table.rows] == sorted(
        (row.accuracy for row in table.rows), reverse=True
    )


def test_rows_that_the_test_cannot_separate_share_their_ranks() -> None:
    names = {"a": CLOSE, "b": CLOSE, "c": FAR, "d": FAR}
    records = {name: make_record(name, examples=200, accuracies=a) for name, a in names.items()}
    table = only_table(list(records.values()))
    assert [row.ranks for row in table.rows] == [(1, 2), (1, 2), (3, 4), (3, 4)]
    assert {row.name for row in table.rows[:2]} == {"a", "b"}


def test_the_order_of_the_records_does_not_matter() -> None:
    records = [make_record(f"m{i}", accuracies=CLOSE) for i in range(6)]
    assert ranks(only_table(records)) == ranks(only_table(records[::-1]))


def test_different_protocols_data_and_sizes_never_share_a_table() -> None:
    records = [
        make_record("a"),
        make_record("b", suites=("autoattack",)),
        make_record("c", examples=41),
        make_record("d", dataset="svhn"),
    ]
    assert [len(table.rows) for table in tables(records)] == [1, 1, 1, 1]


def renamed(record: Record, name: str, sha256: str) -> Record:
    return dataclasses.replace(
        record, data=dataclasses.replace(record.data, name=name, sha256=sha256), id=""
    )


def test_a_table_is_named_after_its_data_and_not_after_their_file() -> None:
    known = expected("cifar10", "test", 256)
    assert known is not None
    record = renamed(make_record(examples=256), "npz:mine.npz", known)
    table = only_table([record])
    assert (table.data.called, cells(table)[0]["dataset"]) == ("cifar10", "cifar10")
    assert table.data.name == "npz:mine.npz"
    other = renamed(record, "npz:mine.npz", "0" * 64)
    assert only_table([other]).data.called == "npz:mine.npz"


def test_data_of_equal_name_but_different_content_have_different_tables() -> None:
    known = expected("cifar10", "test", 256)
    assert known is not None
    old = renamed(make_record("a", examples=256), "npz:mine.npz", known)
    new = renamed(make_record("b", examples=256), "cifar10", known)
    assert len(tables([old, new])) == 1
    protocol = dataclasses.replace(new.protocol, sha256="1" * 64)
    assert len(tables([old, dataclasses.replace(new, protocol=protocol, id="")])) == 2
    assert len(tables([old, renamed(new, "cifar10", "0" * 64)])) == 2


def test_a_recipe_depends_on_the_hash_of_the_training_data_and_not_on_their_name() -> None:
    def record(seed: int, name: str, sha256: str) -> Record:
        training = {"seed": seed, "dataset": name, "data_sha256": sha256}
        config = {"steps": 10, "training": {"seed": seed, "dataset": name}}
        return make_record("at", seed=seed, training=training, config=config)

    table = only_table([record(0, "npz:a.npz", "a"), record(1, "mnist", "a"), record(2, "c", "c")])
    assert sorted(len(row.runs) for row in table.rows) == [1, 2]


def test_a_recipe_does_not_depend_on_seeds_anywhere_in_the_config() -> None:
    def record(seed: int, **settings: object) -> Record:
        config = {"steps": 10, "training": {"lr": 0.2, "seed": seed} | settings}
        return make_record("at", seed=seed, training={"seed": seed}, config=config)

    table = only_table([record(0), record(1), record(2, lr=0.1)])
    assert sorted(len(row.runs) for row in table.rows) == [1, 2]


def test_teachers_of_equal_seed_are_one_recipe_and_a_shared_teacher_another() -> None:
    def record(seed: int, teacher: str) -> Record:
        weights = {"teacher": f"{seed:064x}"}
        config = {"teacher": teacher, "training": {"arch": "wrn-10-2", "teachers": weights}}
        return make_record("ard", seed=seed, training={"seed": seed}, config=config)

    own = [record(0, "runs/at"), record(2, "runs/at-s2"), record(3, "runs/at-3")]
    table = only_table([*own, record(4, "runs/at-3")])
    assert sorted(len(row.runs) for row in table.rows) == [1, 3]


def test_a_row_has_each_kind_of_flag_once_with_the_number_of_others() -> None:
    def finding(id: str, message: str) -> Finding:
        return Finding(id, "flag", message, None)

    findings = (finding("A8", "linf"), finding("P7", "zero"), finding("A8", "l1"))
    (row,) = only_table([make_record("at", findings=findings)]).rows
    assert row.reasons == {"A8": "linf (and 1 more)", "P7": "zero"}


def test_a_newer_record_of_the_same_weights_supersedes_the_older() -> None:
    old = make_record("a")
    new = dataclasses.replace(old, created="2026-02-01T00:00:00+00:00", id="")
    assert only_table([old, new]).rows == (Row((new,), Ranks(1, 1), "a"),)


def test_a_record_in_float32_counts_for_weights_also_attacked_in_bf16() -> None:
    strict = make_record("a", precision="fp32")
    newer = make_record("a", created="2026-02-01T00:00:00+00:00")
    newest = make_record("a", created="2026-03-01T00:00:00+00:00", precision="fp32")
    assert only_table([strict, newer]).rows[0].runs == (strict,)
    assert only_table([strict, newer, newest]).rows[0].runs == (newest,)


def test_seeds_of_one_recipe_are_one_row_with_their_mean() -> None:
    runs = [make_record("a", seed=seed, training={"seed": seed}) for seed in range(3)]
    (row,) = only_table(runs).rows
    assert row.runs == tuple(runs)
    assert row.accuracy == sum(row.accuracies) / 3
    assert len(set(row.accuracies)) > 1


def test_another_setting_is_another_recipe() -> None:
    runs = [
        make_record("a", training={"seed": 0}),
        make_record("a", seed=1, training={"seed": 1}, config={"epochs": 60, "seed": 1}),
        make_record("a", seed=2, training={"seed": 2, "tag": "last"}),
        make_record("a", seed=3, training={"seed": 3}, arch="cnn"),
        make_record("a", seed=4),
    ]
    assert len(only_table(runs).rows) == 5


def test_a_large_variance_over_seeds_widens_the_range_of_ranks() -> None:
    def recipe(name: str, *levels: float) -> list[Record]:
        return [
            make_record(name, seed=k, examples=300, accuracies=(0.9, a, a, a), training={"seed": k})
            for k, a in enumerate(levels)
        ]

    steady, poor = recipe("steady", 0.6, 0.6, 0.6), recipe("poor", 0.1, 0.1, 0.1)
    uneven = recipe("uneven", 0.85, 0.75, 0.1)
    assert ranks(only_table([*steady, *poor])) == {"steady": (1, 1), "poor": (2, 2)}
    assert ranks(only_table([*uneven, *poor])) == {"uneven": (1, 2), "poor": (1, 2)}


def test_a_row_with_an_open_flag_is_last_and_has_no_rank() -> None:
    best = flagged(make_record("best", accuracies=CLOSE), "flag")
    rest = make_record("rest", accuracies=FAR)
    table = only_table([best, rest])
    assert [row.name for row in table.rows] == ["rest", "best"]
    assert ranks(table) == {"rest": (1, 1), "best": None}


def test_informative_findings_do_not_remove_the_rank() -> None:
    assert ranks(only_table([flagged(make_record("a"), "info")])) == {"a": (1, 1)}


def test_models_of_the_same_weights_and_other_code_are_two_rows() -> None:
    one, two = (make_record(name, weights_sha256="0" * 64) for name in ("mine:a", "mine:b"))
    assert len(only_table([one, two]).rows) == 2
    trained = {"training": {"seed": 0}, "config": {}, "defense": "at"}
    same = [make_record(n, weights_sha256="0" * 64, **trained) for n in ("best", "copy")]
    assert len(only_table(same).rows) == 1


def test_records_of_other_threats_never_share_a_table_whatever_their_hash_says() -> None:
    one, two = make_record("a"), make_record("b", threats=("linf:0.1", "l2:0.5", "l1:12"))
    protocol = dataclasses.replace(two.protocol, sha256=one.protocol.sha256)
    assert len(tables([one, dataclasses.replace(two, protocol=protocol, id="")])) == 2

import pytest

from leaderboard.comparison import compare, find, pick
from leaderboard.errors import LeaderboardError
from leaderboard.flags import unpack
from leaderboard.ranking import Row
from leaderboard.schema import Record
from leaderboard.seeds import compare_runs
from tests.records import make_record, mcnemar

A, B = make_record("at", examples=200), make_record("mat", examples=200)


def recipe(name: str) -> list[Record]:
    return [
        make_record(f"{name}-{k}", defense=name, seed=k, examples=200, training={"seed": k})
        for k in range(3)
    ]


def test_every_column_of_two_models_is_compared_example_by_example() -> None:
    lines = {line.column: line for line in compare(Row((A,)), Row((B,)))}
    assert list(lines) == list(A.measured)
    for column, line in lines.items():
        ours, theirs = (unpack(record.measured[column], 200) for record in (A, B))
        assert (line.a, line.b) == (ours.mean(), theirs.mean())
        assert line.only == ((ours & ~theirs).sum(), (theirs & ~ours).sum())
        p = mcnemar(A.measured[column], B.measured[column])
        assert line.difference.p == pytest.approx(p)


def test_recipes_are_compared_over_their_seeds() -> None:
    a, b = (Row(tuple(recipe(name))) for name in ("at", "mat"))
    for line in compare(a, b):
        assert line.difference == compare_runs(a.column(line.column), b.column(line.column))
        assert line.only is None


@pytest.mark.parametrize("name", [A.id[:8], A.id, f"board/records/{A.id[:16]}.json", "at"])
def test_a_record_is_found_by_id_file_or_name(name: str) -> None:
    (row,) = find([A, B], name)
    assert row.runs == (A,)


def test_a_recipe_and_its_runs_are_found_by_their_names() -> None:
    records = [*recipe("at"), *recipe("mat")]
    assert [len(row.runs) for row in find(records, "at")] == [3]
    assert [row.runs for row in find(records, "at-1")] == [(records[1],)]


def test_the_newest_two_of_one_table_are_picked() -> None:
    old = make_record("at", seed=1, created="2025-01-01T00:00:00+00:00", examples=200)
    elsewhere = make_record("at", dataset="svhn", created="2027-01-01T00:00:00+00:00")
    assert [row.head for row in pick([old, A, B, elsewhere], "at", "mat")] == [A, B]


def test_models_of_one_arithmetic_are_picked_before_newer_ones_of_two() -> None:
    when = {"created": "2027-01-01T00:00:00+00:00", "examples": 200, "precision": "fp32"}
    newer = make_record("mat", seed=1, **when)
    assert [row.head for row in pick([A, B, newer], "at", "mat")] == [A, B]
    assert [row.head for row in pick([A, newer], "at", "mat")] == [A, newer]


def test_the_float32_record_counts_for_a_model_evaluated_twice() -> None:
    again = make_record("mat", examples=200, precision="fp32")
    assert [row.head for row in find([A, B, again], "mat")] == [again]


def test_records_of_different_tables_are_not_compared() -> None:
    with pytest.raises(LeaderboardError, match="evaluate both with the same options"):
        pick([A, make_record("mat", examples=100)], "at", "mat")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(LeaderboardError, match="no record is named 'mta'"):
        pick([A, B], "mta", "mat")

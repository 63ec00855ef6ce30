import pytest

from leaderboard.comparison import compare, find, pick
from leaderboard.errors import LeaderboardError
from leaderboard.flags import unpack
from tests.records import make_record

A, B = make_record("at", examples=200), make_record("mat", examples=200)


def test_every_column_is_compared_example_by_example() -> None:
    lines = {line.column: line for line in compare(A, B)}
    assert list(lines) == list(A.measured)
    for column, line in lines.items():
        ours, theirs = (unpack(record.measured[column], 200) for record in (A, B))
        assert (line.a, line.b) == (ours.mean(), theirs.mean())
        assert line.paired.only_a == (ours & ~theirs).sum()
        assert line.paired.only_b == (theirs & ~ours).sum()
        assert line.gap is None or line.gap > 0


@pytest.mark.parametrize("name", [A.id[:8], A.id, f"board/records/{A.id[:16]}.json", "at"])
def test_a_record_is_found_by_id_file_or_name(name: str) -> None:
    assert find([A, B], name) == [A]


def test_the_newest_two_of_one_table_are_picked() -> None:
    old = make_record("at", seed=1, created="2025-01-01T00:00:00+00:00", examples=200)
    elsewhere = make_record("at", dataset="svhn", created="2027-01-01T00:00:00+00:00")
    assert pick([old, A, B, elsewhere], "at", "mat") == (A, B)


def test_records_of_one_arithmetic_are_picked_before_newer_ones_of_two() -> None:
    newer = make_record("mat", created="2027-01-01T00:00:00+00:00", examples=200, precision="fp32")
    assert pick([A, B, newer], "at", "mat") == (A, B)
    assert pick([A, newer], "at", "mat") == (A, newer)


def test_records_of_different_tables_are_not_compared() -> None:
    with pytest.raises(LeaderboardError, match="evaluate both with the same options"):
        pick([A, make_record("mat", examples=100)], "at", "mat")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(LeaderboardError, match="no record is named 'mta'"):
        pick([A, B], "mta", "mat")

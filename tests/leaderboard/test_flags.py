import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from leaderboard import flags

FLAGS = st.lists(st.booleans(), min_size=1, max_size=70)


@given(FLAGS)
def test_unpacking_inverts_packing(bits: list[bool]) -> None:
    assert_array_equal(flags.unpack(flags.pack(bits), len(bits)), bits)


@given(FLAGS)
def test_the_count_is_the_number_of_set_flags(bits: list[bool]) -> None:
    assert flags.count(flags.pack(bits)) == sum(bits)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=70))
def test_the_conjunction_is_taken_example_by_example(rows: list[tuple[bool, bool, bool]]) -> None:
    columns = np.array(rows).T
    packed = flags.conjunction(flags.pack(column) for column in columns)
    assert packed == flags.pack(columns.all(axis=0))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=70))
def test_disagreements_are_counted_for_each_side(rows: list[tuple[bool, bool]]) -> None:
    a, b = (flags.pack(column) for column in zip(*rows, strict=True))
    only_a, only_b = sum(x and not y for x, y in rows), sum(y and not x for x, y in rows)
    assert flags.disagreements(a, b) == (only_a, only_b)


def test_the_first_example_is_the_highest_bit() -> None:
    assert flags.pack([True, False, False, False, False, False, False, False, True]) == "8080"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ff", "2 characters cannot hold the flags of 9 examples"),
        ("zz80", "not hexadecimal"),
        ("FF80", "not lower-case"),
        ("ff40", "a flag is set past the last of 9 examples"),
    ],
)
def test_text_that_is_not_the_flags_of_nine_examples_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flags.unpack(text, 9)


def test_flags_of_more_than_one_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        flags.pack([[True], [False]])

"""Counts of several devices become those of the first one, under the names of all."""

from bench.training.nets import Passes


def test_the_first_device_counts_for_all() -> None:
    first, second = Passes(), Passes()
    first.count(first.forwards, "net", 3)
    second.count(second.forwards, "net", 4)
    second.count(second.forwards, "teacher", 5)
    second.tally("teacher_bits", 0.5)
    states = [first.state_dict(), second.state_dict()]
    first.pool(states, first=True)
    second.pool(states, first=False)
    assert first.by_role() == {"net forwards": 7, "teacher forwards": 5, "teacher_bits": 0.5}
    assert second.by_role() == {"net forwards": 0, "teacher forwards": 0, "teacher_bits": 0}

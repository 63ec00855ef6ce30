"""Work is spread over cores without a trace, and freed memory stays at hand."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from bench.cpu import share

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_answers_come_in_the_order_of_the_works_and_from_fewer_threads_each() -> None:
    works = [lambda n=n: (n, torch.get_num_threads()) for n in range(5)]
    assert share(works, CPU) == [(n, 1) for n in range(5)]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_one_piece_of_work_has_all_threads() -> None:
    assert share([torch.get_num_threads], CPU) == [2]


@pytest.mark.usefixtures("two_threads")
def test_an_error_comes_through_and_leaves_the_threads_as_they_were() -> None:
    with pytest.raises(ZeroDivisionError):
        share([lambda: 1 // 0, lambda: 1], CPU)
    assert torch.get_num_threads() == 2


FAULTS = """
import resource, sys, torch
from bench.cpu import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
for turn in range(22):
    if turn == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [torch.ones(2**20) for _ in range(16)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_freed_memory_is_not_asked_for_again() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    assert faults("kept") < faults("given back") / 10

"""Work is spread over cores without a trace, and freed memory stays at hand."""

import ctypes
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from bench.compute.processor import share

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


FREE = """
import ctypes, sys, torch
from bench.compute.processor import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
class Info(ctypes.Structure):
    _fields_ = [(f"field_{n}", ctypes.c_size_t) for n in range(10)]
mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Info
del [torch.ones(2**22) for _ in range(4)][:]
print(mallinfo().field_8)
"""
"""Bytes that the C library holds and nobody uses, after 64 MiB were asked for and freed."""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="asks glibc 2.33"
)
def test_freed_memory_is_not_asked_for_again() -> None:
    def free(how: str) -> int:
        command = [sys.executable, "-c", FREE, how]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    assert free("given back") < 16 * 2**20
    assert free("kept") >= 64 * 2**20

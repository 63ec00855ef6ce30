"""Work runs in parallel and leaves torch's threads unchanged; freed memory is kept."""

import ctypes
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from bench.compute.processor import in_parallel, memory_layout
from bench.models import build

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_results_are_in_order_and_each_uses_fewer_threads() -> None:
    works = [lambda n=n: (n, torch.get_num_threads()) for n in range(5)]
    assert in_parallel(works, CPU) == [(n, 1) for n in range(5)]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_single_function_has_all_threads() -> None:
    assert in_parallel([torch.get_num_threads], CPU) == [2]


@pytest.mark.usefixtures("two_threads")
def test_an_error_is_raised_and_leaves_the_number_of_threads_unchanged() -> None:
    with pytest.raises(ZeroDivisionError):
        in_parallel([lambda: 1 // 0, lambda: 1], CPU)
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
"""Prints the unused bytes that the C library keeps after 64 MiB were allocated and freed."""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="needs glibc 2.33",
)
def test_freed_memory_is_kept() -> None:
    def free(how: str) -> int:
        command = [sys.executable, "-c", FREE, how]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    assert free("released") < 16 * 2**20
    assert free("kept") >= 64 * 2**20


@pytest.mark.parametrize(
    ("arch", "layout"),
    [("preactresnet10-w4", torch.contiguous_format), ("preactresnet10-w8", torch.channels_last)],
)
def test_only_networks_too_narrow_for_channels_last_are_trained_in_the_other_layout(
    arch: str, layout: torch.memory_format
) -> None:
    assert memory_layout(build(arch, classes=10, channels=3, size=(8, 8))) == layout

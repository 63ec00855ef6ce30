"""What makes a processor fast at small networks: all its cores at work, and memory at hand."""

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

import torch

T = TypeVar("T")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST, _LARGE = 2**31 - 1, 32 * 2**20
"""In bytes: the most that may be asked for, and the largest threshold that glibc accepts."""


def share(works: Sequence[Callable[[], T]], device: torch.device) -> list[T]:
    """What each piece of work returns, done at the same time with fewer threads each.

    On a device, or with one thread, they are done one after the other. Torch leaves Python's lock
    while it computes, so that threads suffice.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(works))
    if device.type != "cpu" or workers < 2:
        return [work() for work in works]
    fewer = partial(torch.set_num_threads, threads // workers)
    try:
        with ThreadPoolExecutor(workers, initializer=fewer) as pool:
            return list(pool.map(lambda work: work(), works))
    finally:
        torch.set_num_threads(threads)  # it is also the number of every thread to come


@cache
def keep_memory() -> None:
    """Let freed memory stay with the process, where the C library is glibc.

    It would give an activation's megabyte back to the system after each layer, and ask for it anew,
    page by page: a fifth of the time that a small network takes. A thousand compiled convolutions,
    one for each layer and batch size, are more than oneDNN should keep; before its first it can be
    told so.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_TRIM_THRESHOLD, _MOST)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)

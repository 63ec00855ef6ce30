"""Settings that make a CPU faster at small networks: parallel work, and no release of memory."""

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

import torch
from torch import nn

T = TypeVar("T")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST, _LARGE = 2**31 - 1, 32 * 2**20
"""In bytes: the largest integer, and the largest mmap threshold that glibc accepts."""


def in_parallel(works: Sequence[Callable[[], T]], device: torch.device) -> list[T]:
    """The results of several functions that run at the same time, with fewer torch threads each.

    On a GPU, or with one thread, they run one after the other. Torch releases Python's global lock
    while it computes, so that Python threads suffice.
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
        torch.set_num_threads(threads)  # the number also holds for new Python threads


def memory_layout(network: nn.Module) -> torch.memory_format:
    """Channels last, which is faster, wherever it is safe to train in it.

    Without AVX-512, the weight gradient of a strided 1×1 convolution with fewer than eight input
    channels writes past the end of its memory (oneDNN of torch 2.15).
    """
    unsafe = any(
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and layer.stride != (1, 1)
        and layer.in_channels < 8
        for layer in network.modules()
    )
    return torch.contiguous_format if unsafe else torch.channels_last


@cache
def keep_memory() -> None:
    """Keep freed memory in the process, if the C library is glibc.

    By default glibc returns the memory of large activations to the system after each layer and
    requests it again, page by page, which takes a fifth of the time of a small network. oneDNN
    caches compiled convolutions, one for each layer and batch size; the limit of 256 instead of
    1024 must be set before its first use.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_TRIM_THRESHOLD, _MOST)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)

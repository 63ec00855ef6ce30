"""Random numbers keyed by the example: the same for every batch, order and device.

A key is a 64-bit integer computed from (seed, example index, attack, restart, …); a stream is the
splitmix64 generator of Steele, Lea & Flood (OOPSLA 2014) started at that key, so that the i-th
number of a stream is computed without its predecessors.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX2 = 0x94D049BB133111EB - (1 << 64)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's own is arithmetic on int64."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * _MIX1
    z = (z ^ _shift(z, 27)) * _MIX2
    return z ^ _shift(z, 31)


def fold(key: Int[Tensor, " n"], part: Int[Tensor, " n"] | int | str) -> Int[Tensor, " n"]:
    """New keys, computed from keys and a further part of the stream's name."""
    if isinstance(part, str):
        part = zlib.crc32(part.encode())
    return _mix(key * _GOLDEN + part)


def keys(seed: int, indices: Int[Tensor, " n"], *parts: int | str) -> Int[Tensor, " n"]:
    """The key of each example: a function of the seed, its index in the data set, and the parts."""
    key = fold(torch.full_like(indices, seed, dtype=torch.int64), indices.to(torch.int64))
    for part in parts:
        key = fold(key, part)
    return key


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let torch's own generators, from which random models draw, start at a seed; afterwards they
    go on as if nothing had been drawn."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def uniform(key: Int[Tensor, " n"], *shape: int) -> Float[Tensor, "n *shape"]:
    """Numbers in (0, 1), shape (n, *shape), float32: row i depends on key i alone."""
    count = int(torch.Size(shape).numel())
    counter = torch.arange(1, count + 1, device=key.device) * _GOLDEN
    bits = _shift(_mix(key[:, None] + counter), 41)
    return ((bits.float() + 0.5) * 2.0**-23).reshape(len(key), *shape)

"""Packed flags: one bit per example, written as hexadecimal, as records store verdicts.

The first example is the highest bit of the first byte; the last byte is padded with zeros.
10,000 examples are 2,500 characters. Counts and conjunctions work on the packed form.

    >>> pack([True, False, True])
    'a0'
    >>> unpack("a0", 3).tolist()
    [True, False, True]
    >>> count("a0")
    2
"""

import functools
import operator
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pack(flags: ArrayLike) -> str:
    """Boolean flags, shape (n,), as hexadecimal text.

    Raises:
        ValueError: `flags` is not one-dimensional.
    """
    bits = np.asarray(flags, dtype=bool)
    if bits.ndim != 1:
        raise ValueError(f"flags must have shape (n,), not {bits.shape}")
    return np.packbits(bits).tobytes().hex()


def unpack(text: str, examples: int) -> NDArray[np.bool_]:
    """The boolean flags, shape (examples,), that `pack` wrote.

    Raises:
        ValueError: `text` doesn't hold exactly that many flags.
    """
    check(text, examples)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), count=examples)
    return bits.astype(bool)


def count(text: str) -> int:
    """How many flags are set."""
    return number(text).bit_count()


def number(text: str) -> int:
    """The packed flags as one integer, for `&`, `|`, `^` and `bit_count`."""
    return int(text, 16)


def disagreements(a: str, b: str) -> tuple[int, int]:
    """How many flags are set only in the first, and only in the second."""
    first, second = number(a), number(b)
    return (first & ~second).bit_count(), (second & ~first).bit_count()


def conjunction(texts: Iterable[str]) -> str:
    """The flags that are set in every one of `texts`, which are of equal length."""
    texts = list(texts)
    return f"{functools.reduce(operator.and_, map(number, texts)):0{len(texts[0])}x}"


def check(text: str, examples: int) -> None:
    """Accept `text` only as the packed flags of exactly `examples` examples.

    Raises:
        ValueError: wrong length, not lower-case hexadecimal, or a bit set past the last example.
    """
    if len(text) != 2 * -(-examples // 8):
        raise ValueError(f"{len(text)} characters cannot hold the flags of {examples} examples")
    try:
        bits = bytes.fromhex(text)
    except ValueError:
        raise ValueError("flags are not hexadecimal") from None
    if bits.hex() != text:
        raise ValueError("flags are not lower-case hexadecimal")
    if bits[-1] & (0xFF >> ((examples - 1) % 8 + 1)):
        raise ValueError(f"a flag is set past the last of {examples} examples")

"""PNG files from arrays: the format in its smallest form (W3C PNG specification, 3rd edition)."""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""Shape (h, w, c) with one channel (grey) or three (red, green, blue)."""


def encode(pixels: Pixels) -> bytes:
    """A PNG file of 8 bits a channel.

    Raises:
        ValueError: there is neither one channel nor three.
    """
    height, width, channels = pixels.shape
    if channels not in (1, 3):
        raise ValueError(f"{channels} channels; a picture has one or three")
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    lines = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))  # filter 0 before each line
    data = zlib.compress(np.ascontiguousarray(lines).tobytes(), level=9)
    parts = [_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def data_url(pixels: Pixels) -> str:
    """The same as an address that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(encode(pixels)).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

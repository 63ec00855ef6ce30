"""Adversarial examples as pictures: what the cards of the page show of them."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leaderboard.schema import Record

if TYPE_CHECKING:
    from pandas import DataFrame

PICTURES = 6
"""Adversarial examples shown for each threat."""
WIDEST = 64
"""Pixels to which a picture is reduced."""
CHANNELS = (1, 3)
"""Numbers of channels that can be shown, as grey or in colour."""


class Picture(NamedTuple):
    """One adversarial example: the image, the adversarial image, their difference, side by side."""

    threat: str
    example: int
    label: int
    norm: float
    png: str


def pictures(board: Path, record: Record, table: "DataFrame") -> list[Picture]:
    """The first adversarial examples of each threat whose unperturbed image was kept; none of
    images that are neither grey nor in colour."""
    from safetensors import safe_open

    file = record.evidence and record.evidence.adversarial
    if not file or not (board / file.file).exists():
        return []
    with safe_open(board / file.file, framework="np") as tensors:
        if "originals/indices" not in tensors.keys():  # noqa: SIM118 (not a dictionary)
            return []
        originals = tensors.get_tensor("originals/images")
        if originals.shape[1] not in CHANNELS:
            return []
        place = {int(i): row for row, i in enumerate(tensors.get_tensor("originals/indices"))}
        label = dict(zip(table["index"], table["label"], strict=True))
        shown: list[Picture] = []
        for threat in record.protocol.threats:
            head = f"{threat}/{record.protocol.suites[0]}"
            norm = dict(zip(table["index"], table[f"{head}/norm"], strict=True))
            indices = tensors.get_tensor(f"{head}/indices")
            rows = [row for row, index in enumerate(indices) if int(index) in place][:PICTURES]
            images = tensors.get_slice(f"{head}/images")
            for row in rows:
                index = int(indices[row])
                png = data_url(triptych(originals[place[index]], images[row]))
                shown.append(Picture(threat, index, int(label[index]), float(norm[index]), png))
    return shown


def triptych(original: NDArray[np.uint8], adversarial: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Image (c, h, w), adversarial image and stretched difference side by side: (h, 3 w + 2, c)."""
    step = -(-max(original.shape[1:]) // WIDEST)
    clean = original[:, ::step, ::step].astype(np.float32) / 255
    attacked = adversarial[:, ::step, ::step]
    delta = attacked - clean
    difference = 0.5 + delta / max(2 * float(np.abs(delta).max()), 1e-12)
    gap = np.ones((clean.shape[0], clean.shape[1], 1), np.float32)
    row = np.concatenate([clean, gap, attacked, gap, difference], axis=2)
    pixels: NDArray[np.uint8] = np.rint(255 * row.clip(0, 1)).astype(np.uint8)
    return pixels.transpose(1, 2, 0)


def data_url(pixels: NDArray[np.uint8]) -> str:
    """Pixels (h, w, 1) in grey or (h, w, 3) in colour as an address that holds a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    grey = pixels.shape[2] == 1
    Image.fromarray(pixels[:, :, 0] if grey else pixels).save(stream, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"

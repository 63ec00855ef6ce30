"""A data set of shades, a model that classifies them, and a budget set."""

import torch
from torch import Tensor, nn

from bench.data import Dataset, Split

SLIGHT = ["linf:1/255", "l2:0.1"]
CLASSES = 4


def shades() -> Dataset:
    """Grey images of one shade each; the class is the shade's quarter of [0, 1]."""
    labels = torch.arange(80) % CLASSES
    bright = (labels * 2 + 1) * 255 // (2 * CLASSES)
    split = Split(bright.to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8), labels)
    return Dataset.divide("shades", CLASSES, split, split)


class Brightness(nn.Module):
    """An exact classifier by the mean shade."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 1, h, w) -> logits (n, 4)."""
        centres = (torch.arange(CLASSES) * 2 + 1) / (2 * CLASSES)
        return -((x.mean((1, 2, 3))[:, None] - centres) ** 2)

"""Architectures by name. Each maps images (n, c, h, w) in [0, 1] to logits (n, classes).

    build("wrn-28-10", classes=10, channels=3, size=(32, 32))

Options are part of the name, which therefore describes the architecture completely:
`preactresnet18-w16` starts with 16 channels instead of 64, `wrn-16-4` has depth 16 and widening
factor 4. `torchvision:NAME` and `timm:NAME` are built by these libraries, without normalisation in
front.
"""

import re
from collections.abc import Callable

from torch import nn

from bench.errors import CrossfireError
from bench.models.cnn import CNN
from bench.models.libraries import LIBRARIES
from bench.models.normalize import Normalize
from bench.models.preactresnet import PreActResNet
from bench.models.wrn import WideResNet

__all__ = ["EXTRA", "ArchitectureError", "Normalize", "architectures", "build"]

_Builder = Callable[[dict[str, int], int, int], nn.Module]
_PATTERNS: dict[str, tuple[str, _Builder]] = {
    "cnn[-wWIDTH]": (
        r"cnn(-w(?P<width>\d+))?",
        lambda o, classes, channels: CNN(classes, channels, o.get("width", 32)),
    ),
    "preactresnet10|18|34[-wWIDTH]": (
        r"preactresnet(?P<depth>10|18|34)(-w(?P<width>\d+))?",
        lambda o, classes, channels: PreActResNet(
            o["depth"], classes, channels, o.get("width", 64)
        ),
    ),
    "wrn-DEPTH-WIDEN": (
        r"wrn-(?P<depth>\d+)-(?P<widen>\d+)",
        lambda o, classes, channels: WideResNet(o["depth"], o["widen"], classes, channels),
    ),
}


Builder = Callable[[dict[str, str], int, int, tuple[int, int]], nn.Module]
EXTRA: dict[str, Builder] = {}
"""Architectures from outside this package: a pattern of names, and a function that builds one from
the match's groups, classes, channels and size."""


class ArchitectureError(CrossfireError):
    """A network can't be built as its checkpoint, or the user, names it, or is not for the data."""


def architectures() -> list[str]:
    """The patterns of valid `arch`; capitals stand for numbers, brackets may be left out."""
    return list(_PATTERNS)


def build(arch: str, *, classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """A freshly initialised model for images of `channels` channels and `size` = (height, width).

    Raises:
        ArchitectureError: there is no such architecture.
        CrossfireError: the images are too small for it, or its library is not installed.
    """
    if min(size) < 4:
        raise CrossfireError(
            f"images of {size[0]}x{size[1]} pixels are too small; at least 4x4 is needed"
        )
    for pattern, builder in _PATTERNS.values():
        if match := re.fullmatch(pattern, arch):
            options = {key: int(value) for key, value in match.groupdict().items() if value}
            if 0 in options.values():
                break
            return builder(options, classes, channels)
    for regex, extra in EXTRA.items():
        if match := re.fullmatch(regex, arch):
            return extra(match.groupdict(), classes, channels, size)
    library, _, name = arch.partition(":")
    if library in LIBRARIES:
        return LIBRARIES[library](name, classes, channels)
    others = [*architectures(), *(f"{library}:NAME" for library in LIBRARIES), "FILE.py:FUNCTION"]
    raise ArchitectureError(f"unknown architecture '{arch}'; choose from {', '.join(others)}")

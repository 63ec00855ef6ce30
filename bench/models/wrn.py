"""Wide residual networks (Zagoruyko & Komodakis, 2016, arXiv:1605.07146).

Parameter names and arithmetic follow the published robust checkpoints of the TRADES family (Zhang
et al., 2019, arXiv:1901.08573), so that their weights load as they are: a shortcut by convolution
starts after the first activation, the identity before it.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from bench.errors import CrossfireError
from bench.models.normalize import Normalize


class Block(nn.Module):
    """Two 3x3 convolutions, each after its normalisation and activation, and a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.convShortcut: nn.Conv2d | None = None
        if inside != outside:
            self.convShortcut = nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Feature maps -> feature maps."""
        active = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(active)
        out: Tensor = shortcut + self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out


class Stage(nn.Module):
    """A sequence of blocks, in the sub-module `layer` as in the published checkpoints."""

    def __init__(self, inside: int, outside: int, blocks: int, stride: int) -> None:
        super().__init__()
        first = Block(inside, outside, stride)
        rest = (Block(outside, outside, 1) for _ in range(blocks - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Feature maps -> feature maps."""
        out: Tensor = self.layer(x)
        return out


class WideResNet(nn.Module):
    """WRN-depth-widen: three stages of 16, 32 and 64 times `widen` channels; any image size."""

    def __init__(self, depth: int, widen: int, classes: int, channels: int) -> None:
        """Build it.

        Raises:
            CrossfireError: depth is not 6n + 4.
        """
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise CrossfireError(
                f"a WRN's depth is 10, 16, 22, 28, 34 and so on; {depth} is none of these"
            )
        self.normalize = Normalize.centred(channels)
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.block1 = Stage(16, 16 * widen, blocks, stride=1)
        self.block2 = Stage(16 * widen, 32 * widen, blocks, stride=2)
        self.block3 = Stage(32 * widen, 64 * widen, blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(64 * widen)
        self.fc = nn.Linear(64 * widen, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Images in [0, 1] -> logits."""
        out = self.block3(self.block2(self.block1(self.conv1(self.normalize(x)))))
        logits: Tensor = self.fc(F.relu(self.bn1(out)).mean((2, 3)))
        return logits

"""Pre-activation ResNets for small images (He et al., 2016, arXiv:1603.05027).

Parameter names and arithmetic follow the published robust checkpoints (Rice et al., 2020,
arXiv:2002.11569, and what was fine-tuned from them), so that their weights load as they are: the
shortcut starts after the first activation, and a last batch normalisation precedes the pooling.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from bench.models.normalize import Normalize

BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


class Block(nn.Module):
    """Two 3x3 convolutions, each after its normalisation and activation, and a shortcut."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """Feature maps -> feature maps."""
        active = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = shortcut + self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out


class PreActResNet(nn.Module):
    """Four stages of blocks with width, 2, 4 and 8 times width channels; any image size."""

    def __init__(self, depth: int, classes: int, channels: int, width: int = 64) -> None:
        super().__init__()
        self.normalize = Normalize.centred(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        blocks = BLOCKS[depth]
        self.layer1 = _stage(width, width, blocks[0], stride=1)
        self.layer2 = _stage(width, 2 * width, blocks[1], stride=2)
        self.layer3 = _stage(2 * width, 4 * width, blocks[2], stride=2)
        self.layer4 = _stage(4 * width, 8 * width, blocks[3], stride=2)
        self.bn = nn.BatchNorm2d(8 * width)
        self.linear = nn.Linear(8 * width, classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Images in [0, 1] -> logits."""
        out = self.conv1(self.normalize(x))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        logits: Tensor = self.linear(F.relu(self.bn(out)).mean((2, 3)))
        return logits


def _stage(inside: int, outside: int, blocks: int, stride: int) -> nn.Sequential:
    first = Block(inside, outside, stride)
    return nn.Sequential(first, *(Block(outside, outside, 1) for _ in range(blocks - 1)))

"""A small convolutional network for small grey images."""

from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.nn import functional as F

from bench.models.normalize import Normalize


class CNN(nn.Module):
    """Three 3x3 convolutions, the last of stride 2, and two linear layers; no batch normalisation.

    About 0.3 million parameters at width 32. Without batch normalisation a step on small images
    takes two thirds of the time, and clean and perturbed batches cannot differ in their statistics.
    """

    def __init__(self, classes: int, channels: int, width: int = 32, hidden: int = 128) -> None:
        super().__init__()
        self.normalize = Normalize.centred(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1)
        self.linear1 = nn.Linear(2 * width * 16, hidden)
        self.linear2 = nn.Linear(hidden, classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Images in [0, 1] -> logits."""
        out = F.relu(self.conv1(self.normalize(x)))
        out = F.relu(self.conv2(out))
        out = self.conv3(out)
        out = F.relu(self.linear1(pooled(out)))
        logits: Tensor = self.linear2(out)
        return logits


@fx.wrap  # a branch on a shape can't be traced
def pooled(out: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
    """Rectified feature maps as 4x4.

    Maps of 8x8 images have this size already. Pooling them would mix the memory layouts of
    activations and gradients, and cost a third of a step.
    """
    if out.shape[2:] == (4, 4):
        return F.relu(out.flatten(1))
    return F.adaptive_avg_pool2d(F.relu(out), 4).flatten(1)

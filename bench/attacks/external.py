"""Attacks that query the model themselves, such as those of another package."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from bench.threats import Threat

Run = Callable[[nn.Module, Tensor, Tensor, Threat, int], Tensor]
"""(model, images (n, c, h, w), labels (n,), threat, seed) -> adversarial examples (n, c, h, w)."""


@dataclass(frozen=True)
class ExternalAttack:
    """An attack as one function, under a name. Its random numbers may depend on the batch."""

    run: Run
    name: str
    bounded: bool = False


class Counted(nn.Module):
    """A model that counts the images of its forward and backward passes."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        """Count the passes of `model`."""
        super().__init__()
        self.model, self.forwards, self.backwards = model, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        """The model's logits."""
        self.forwards += len(x)
        logits = self.model(x)
        if logits.requires_grad:
            logits.register_hook(self._count)  # type: ignore[no-untyped-call]
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)

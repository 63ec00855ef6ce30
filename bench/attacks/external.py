"""Attacks that query the model themselves, such as those of another package."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor, nn

from bench.errors import CrossfireError, reason
from bench.threats import Threat
from bench.threats.geometry import Batch

Run = Callable[[nn.Module, Tensor, Tensor, Threat, int], Tensor]
"""(model, images (n, c, h, w), labels (n,), threat, seed) -> adversarial examples (n, c, h, w)."""


@dataclass(frozen=True)
class ExternalAttack:
    """An attack as one function, under a name. Its random numbers may depend on the batch.

    A point of a `bounded` attack outside its threat is an error; points of others are ignored
    there, as an attack needs that searches for the nearest adversarial example.
    """

    run: Run
    name: str
    bounded: bool = True

    def points(
        self, model: nn.Module, x: Batch, y: Int[Tensor, " n"], threat: Threat, seed: int
    ) -> Batch:
        """The attack's examples for images x (n, c, h, w) in [0, 1]; it gets copies of x and y.

        Raises:
            CrossfireError: it fails, or returns anything but a tensor of the images' shape.
        """
        try:
            found = self.run(model, x.clone(), y.clone(), threat, seed)
        except CrossfireError:
            raise
        except Exception as error:
            raise CrossfireError(f"attack '{self.name}' fails ({reason(error)})") from error
        if not isinstance(found, Tensor) or found.shape != x.shape:
            kind = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise CrossfireError(
                f"attack '{self.name}' returned {kind}; it must return a tensor of the images' "
                f"shape, {tuple(x.shape)}"
            )
        return found.detach().to(x)


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

"""Attacks from elsewhere: those that query the model themselves, and those of users' files."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor, nn

from bench.attacks.base import Attack
from bench.errors import CrossfireError, reason
from bench.plugins.registry import load_file
from bench.plugins.specs import Spec
from bench.threats import Threat
from bench.threats.geometry import Points

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
        self, model: nn.Module, x: Points, y: Int[Tensor, " n"], threat: Threat, seed: int
    ) -> Points:
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


def as_attack(found: object, name: str, origin: str) -> Attack | ExternalAttack:
    """What a plugin, a file or a caller offers as an attack: one, its class, or a function as
    described by `Run`, which gets this name.

    Raises:
        CrossfireError: it is none of these.
    """
    attack = found() if isinstance(found, type) else found
    if isinstance(attack, Attack | ExternalAttack):
        return attack
    if isinstance(found, type) or not callable(attack):
        raise CrossfireError(
            f"attack '{name}' of {origin} is a {type(attack).__name__}; give a "
            "function (model, images, labels, threat, seed) -> adversarial examples"
        )
    return ExternalAttack(attack, name)


def in_file(spec: Spec) -> object:
    """What a user's Python file offers as an attack under a name.

    Raises:
        CrossfireError: the file is missing or fails, or has no such attack; the message names those
            that it has.
    """
    named = vars(load_file(spec.file))
    if _is_offered(named.get(spec.name)):
        return named[spec.name]
    own = [name for name, value in named.items() if name[0] != "_" and _is_offered(value)]
    advice = f"choose from {', '.join(own)}" if own else "it has none"
    raise CrossfireError(
        f"{spec.file} has no attack '{spec.name}'; {advice}; an attack is a function "
        "(model, images, labels, threat, seed) or a bench.attacks.base.Attack"
    )


def _is_offered(value: object) -> bool:
    """Whether a value of a module is an attack, its class, or a function that could be one."""
    if isinstance(value, type):
        return value is not Attack and all(hasattr(value, name) for name in ("start", "step"))
    if isinstance(value, Attack | ExternalAttack):
        return True
    try:
        return callable(value) and bool(inspect.signature(value).bind(*range(5)))
    except (TypeError, ValueError):
        return False


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

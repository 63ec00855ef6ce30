"""The interface of an attack: slots with its state, one step, and the loop over steps.

An attack is written as its paper's iteration: `start` gives each slot its first point; `step` takes
the model's response at the current points and gives the next ones. All state is in tensors whose
first dimension is the slot, and each slot counts its own steps, so that slots at different
iterations share a batch and the engine can refill a slot as soon as it is free.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.threats import Threat
from bench.threats.geometry import Points
from bench.types import Model


@dataclass(frozen=True)
class Slots:
    """The state of attacks in progress; row i of every tensor belongs to slot i.

    `x` images (n, c, h, w) in [0, 1]; `y` labels; `target` the target class of a targeted attack;
    `key` the key of the slot's random stream; `t` the number of steps; `point` the next query;
    `done` whether `point` is the last query; `memory` the attack's own state.
    """

    x: Float[Tensor, "n *shape"]
    y: Int[Tensor, " n"]
    target: Int[Tensor, " n"]
    key: Int[Tensor, " n"]
    t: Int[Tensor, " n"]
    point: Float[Tensor, "n *shape"]
    done: Bool[Tensor, " n"]
    memory: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def fresh(cls, x: Tensor, y: Tensor, target: Tensor, key: Tensor) -> "Slots":
        """Slots before the first step, with the images as their points."""
        return cls(x, y, target, key, torch.zeros_like(y), x, torch.zeros_like(y, dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.y)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name; names in `memory` get a prefix."""
        own = {name: getattr(self, name) for name in _OWN}
        return own | {f"memory.{name}": value for name, value in self.memory.items()}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> "Slots":
        """The inverse of `tensors`."""
        memory = {n.removeprefix("memory."): v for n, v in tensors.items() if n not in _OWN}
        return cls(**{name: tensors[name] for name in _OWN}, memory=memory)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Slots":
        """The same slots with `change` applied to each tensor."""
        return self.from_tensors({name: change(value) for name, value in self.tensors().items()})

    def rows(self, which: slice | Int[Tensor, " m"]) -> "Slots":
        """Some of the slots, by position."""
        return self.map(lambda value: value[which])

    def join(self, other: "Slots") -> "Slots":
        """These slots followed by others of the same attack."""
        mine, theirs = self.tensors(), other.tensors()
        return self.from_tensors({name: torch.cat([mine[name], theirs[name]]) for name in mine})

    def next(self, point: Tensor, done: Tensor, **memory: Tensor) -> "Slots":
        """After one step: the next point, whether it is the last, and changes of `memory`."""
        return replace(self, point=point, done=done, t=self.t + 1, memory={**self.memory, **memory})


_OWN = ("x", "y", "target", "key", "t", "point", "done")


@dataclass(frozen=True)
class Response:
    """The model's response to a query at the slots' points: logits, the attack's loss, and its
    gradient if the attack needs it."""

    logits: Float[Tensor, "n k"]
    loss: Float[Tensor, " n"]
    gradient: Float[Tensor, "n *shape"] | None

    @property
    def ascent(self) -> Float[Tensor, "n *shape"]:
        """The gradient, for attacks that need it."""
        if self.gradient is None:
            raise ValueError("this attack needs no gradient")
        return self.gradient


@runtime_checkable
class Attack(Protocol):
    """One run of an attack: its objective, its start and its step."""

    @property
    def name(self) -> str:
        """The attack's name in records."""

    @property
    def needs_gradient(self) -> bool:
        """Whether a step needs the gradient of the loss, or only its value."""

    @property
    def bounded(self) -> bool:
        """Whether every query lies in ball and box; if not, points outside are ignored."""

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """The value that the attack maximises, one per slot."""

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """The first points and the memory of fresh slots."""

    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        """The next points."""


def query(model: Model, attack: Attack, slots: Slots) -> Response:
    """Query the model at the slots' points; the gradient is with respect to the points only.

    The gradient is contiguous whatever the model's memory layout, 0 where the model's is NaN, and
    ±1e30, whose sums are finite, where it is infinite.
    """
    if not attack.needs_gradient:
        with torch.no_grad():
            logits = model(slots.point)
            return Response(logits, attack.loss(logits, slots), None)
    point = slots.point.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(point)
        loss = attack.loss(logits, slots)
        (gradient,) = torch.autograd.grad(loss.sum(), point)
    gradient = gradient.contiguous().nan_to_num_(0, 1e30, -1e30)
    return Response(logits.detach(), loss.detach(), gradient)


def drive(model: Model, attack: Attack, slots: Slots, threat: Threat) -> Points:
    """Run an attack on its slots to the end and return the last points; the engine does the same
    faster."""
    slots = attack.start(slots, threat)
    while not bool(slots.done.all()):
        slots = attack.step(slots, query(model, attack, slots), threat)
    return slots.point

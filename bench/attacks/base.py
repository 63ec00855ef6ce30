"""What every attack is made of: slots that carry work, one step, and the loop that drives them.

An attack is written as its paper's iteration: `start` gives each slot its first point, `step` takes
the model's answer at the present points and gives the next ones. All state is a tensor whose first
dimension is the slot, with a counter of its own, so that slots at different iterations share a
batch and the engine may refill each as soon as it is free.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bench.threats import Threat
from bench.threats.geometry import Batch
from bench.types import Model


@dataclass(frozen=True)
class Slots:
    """Pieces of work under way; row i of every tensor belongs to slot i.

    `x` images (n, c, h, w) in [0, 1]; `y` labels; `target` the class a targeted attack aims at;
    `key` names the slot's random stream; `t` counts its steps; `point` is where the model is asked
    next; `done` says that nothing is left to ask beyond `point`; `memory` is what the attack itself
    keeps.
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
        """Slots at their beginning, asking at the images themselves."""
        return cls(x, y, target, key, torch.zeros_like(y), x, torch.zeros_like(y, dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.y)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name; memory's names carry a prefix."""
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
        """Some of the slots, by place."""
        return self.map(lambda value: value[which])

    def join(self, other: "Slots") -> "Slots":
        """These slots followed by others of the same attack."""
        mine, theirs = self.tensors(), other.tensors()
        return self.from_tensors({name: torch.cat([mine[name], theirs[name]]) for name in mine})

    def next(self, point: Tensor, done: Tensor, **memory: Tensor) -> "Slots":
        """After one step: the next point, whether it is the last, and what has to be remembered."""
        return replace(self, point=point, done=done, t=self.t + 1, memory={**self.memory, **memory})


_OWN = ("x", "y", "target", "key", "t", "point", "done")


@dataclass(frozen=True)
class Answer:
    """What the model said at the slots' points: logits, the attack's loss there, and its gradient
    if asked for."""

    logits: Float[Tensor, "n k"]
    loss: Float[Tensor, " n"]
    gradient: Float[Tensor, "n *shape"] | None

    @property
    def ascent(self) -> Float[Tensor, "n *shape"]:
        """The gradient, for attacks that asked for it."""
        if self.gradient is None:
            raise ValueError("this attack asked for no gradient")
        return self.gradient


@runtime_checkable
class Attack(Protocol):
    """One run of an attack: what is ascended, where it starts, how it moves."""

    @property
    def name(self) -> str:
        """What records call it."""

    @property
    def needs_gradient(self) -> bool:
        """Whether a step needs the gradient of the loss, or its value alone."""

    @property
    def bounded(self) -> bool:
        """Whether every point it asks at lies in ball and box; if not, points outside are no
        finds."""

    def loss(self, logits: Tensor, slots: Slots) -> Tensor:
        """The value that the attack raises, one a slot."""

    def start(self, slots: Slots, threat: Threat) -> Slots:
        """The first points and the memory of fresh slots."""

    def step(self, slots: Slots, answer: Answer, threat: Threat) -> Slots:
        """The next points."""


def ask(model: Model, attack: Attack, slots: Slots) -> Answer:
    """Query the model at the slots' points; the gradient is taken with respect to the points alone.

    It comes in the points' memory layout, whatever the model's, and is 0 where the model's is NaN.
    """
    if not attack.needs_gradient:
        with torch.no_grad():
            logits = model(slots.point)
            return Answer(logits, attack.loss(logits, slots), None)
    point = slots.point.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(point)
        loss = attack.loss(logits, slots)
        (gradient,) = torch.autograd.grad(loss.sum(), point)
    return Answer(logits.detach(), loss.detach(), gradient.contiguous().nan_to_num_())


def drive(model: Model, attack: Attack, slots: Slots, threat: Threat) -> Batch:
    """Run an attack on its slots to the end and give the last points; the engine does the same,
    only faster."""
    slots = attack.start(slots, threat)
    while not bool(slots.done.all()):
        slots = attack.step(slots, ask(model, attack, slots), threat)
    return slots.point

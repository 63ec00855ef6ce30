"""Networks as a defense sees them: under the run's arithmetic, and with their passes counted."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

Arithmetic = Callable[[], AbstractContextManager[None]]
"""What a forward pass runs in: automatic bf16 casts, or nothing at all."""


@dataclass
class Passes:
    """Examples that went through each network, by its role, and gradients that came back.

    A pass counts once an example. A second derivative is a further backward pass.
    """

    forwards: Counter[str] = field(default_factory=Counter)
    backwards: Counter[str] = field(default_factory=Counter)

    def state_dict(self) -> dict[str, dict[str, int]]:
        """Both counts, as plain values."""
        return {"forwards": dict(self.forwards), "backwards": dict(self.backwards)}

    def load_state_dict(self, state: dict[str, dict[str, int]]) -> None:
        """Count on from `state`."""
        self.forwards, self.backwards = Counter(state["forwards"]), Counter(state["backwards"])


class Net(nn.Module):
    """A network that runs in `arithmetic`, is counted under `role`, and returns float32."""

    def __init__(
        self, body: nn.Module, arch: str, arithmetic: Arithmetic, passes: Passes, role: str
    ) -> None:
        super().__init__()
        self.body = body.to(memory_format=torch.channels_last)
        self.arch = arch
        self.role = role
        self._arithmetic = arithmetic
        self._passes = passes

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n *out"]:
        """Images -> what the network makes of them, in float32."""
        with self._arithmetic():
            out: Tensor = self.body(x.contiguous(memory_format=torch.channels_last))
        self._passes.forwards[self.role] += len(x)
        if out.requires_grad:
            out.register_hook(self._count)  # type: ignore[no-untyped-call]
        return out.float()

    def _count(self, gradient: Tensor) -> None:
        self._passes.backwards[self.role] += len(gradient)

    def uncounted(self, body: nn.Module | None = None) -> "Net":
        """The same network, or another of its kind, whose passes aren't the training's."""
        return Net(body or self.body, self.arch, self._arithmetic, Passes(), self.role)


@contextmanager
def evaluating(*nets: nn.Module) -> Iterator[None]:
    """Within it the networks are in eval mode; then as they were."""
    modes = [(module, module.training) for net in nets for module in net.modules()]
    try:
        for net in nets:
            net.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def attacking(*nets: nn.Module) -> Iterator[None]:
    """Within it the networks are in eval mode and their parameters frozen; then as they were.

    Batch normalisation in eval mode makes better training examples (Pang et al. 2021, section
    3.6), and frozen parameters spare the gradients that no attack needs.
    """
    wanted = [(p, p.requires_grad) for net in nets for p in net.parameters()]
    try:
        with evaluating(*nets):
            for parameter, _ in wanted:
                parameter.requires_grad_(False)
            yield
    finally:
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)

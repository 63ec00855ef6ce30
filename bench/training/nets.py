"""The networks that a defense trains: they run in the run's arithmetic, and count their passes."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, fields
from threading import Lock
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from bench.compute.compilation import Form, compiled
from bench.compute.processor import memory_layout
from bench.errors import CrossfireError
from bench.models.modes import evaluating

Arithmetic = Callable[[], AbstractContextManager[None]]
"""The context of a forward pass: automatic casts to bf16, or none."""


@dataclass
class Passes:
    """Forward and backward passes of each network, by its role.

    A pass counts once for each example. A second derivative is a further backward pass. `tallies`
    are further counts of a defense.
    """

    forwards: Counter[str] = field(default_factory=Counter)
    backwards: Counter[str] = field(default_factory=Counter)
    tallies: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make a lock, because several threads may count at the same time."""
        self._lock = Lock()

    def count(self, counter: Counter[str], role: str, images: int) -> None:
        """Count the images of a forward or backward pass."""
        with self._lock:
            counter[role] += images

    def tally(self, name: str, amount: float) -> None:
        """Add to a count of the defense; the log has a column for it."""
        self.tallies[name] = self.tallies.get(name, 0.0) + amount

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """All counts, as plain values."""
        return {item.name: dict(getattr(self, item.name)) for item in fields(self)}

    def pool(self, states: Sequence[dict[str, dict[str, Any]]], first: bool) -> None:
        """Give the first device the sums over the `states` of all devices, and the others zeros
        under the same names, so that the next sum counts every pass once."""
        for item in fields(self):
            counts = getattr(self, item.name)
            for name in sorted({name for state in states for name in state[item.name]}):
                total = sum(state[item.name].get(name, 0) for state in states)
                counts[name] = total if first else 0 * total

    def load_state_dict(self, state: dict[str, dict[str, Any]]) -> None:
        """Restore the counts."""
        self.forwards, self.backwards = Counter(state["forwards"]), Counter(state["backwards"])
        self.tallies = state["tallies"]

    def by_role(self) -> dict[str, int | float]:
        """Passes through each network, where there are several, and the tallies."""
        several = len(self.forwards) > 1
        counts = {"forwards": self.forwards, "backwards": self.backwards} if several else {}
        split = {f"{r} {kind}": n for kind, by in counts.items() for r, n in sorted(by.items())}
        return split | self.tallies


class Net(nn.Module):
    """A network that runs in `arithmetic`, is counted under `role`, and returns float32.

    With `compiling`, attacks run it as compiled code.
    """

    def __init__(
        self,
        body: nn.Module,
        arch: str,
        arithmetic: Arithmetic,
        passes: Passes,
        role: str,
        *,
        compiling: bool = False,
    ) -> None:
        super().__init__()
        self._layout = memory_layout(body)
        self.body = body.to(memory_format=self._layout)
        self.arch = arch
        self.role = role
        self._arithmetic = arithmetic
        self._passes = passes
        self._compiling = compiling
        self._compiled_body: Form | None = None

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n *out"]:
        """Images -> the network's output in float32.

        Raises:
            CrossfireError: one example is too few for batch normalisation.
        """
        x = x.contiguous(memory_format=self._layout)
        try:
            with self._arithmetic():
                out = self._form(x)(x)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise CrossfireError(
                "batch normalisation needs two examples of each batch on every device; raise "
                "--batch-size or --examples"
            ) from error
        self._passes.count(self._passes.forwards, self.role, len(x))
        if out.requires_grad:
            out.register_hook(self._count)  # type: ignore[no-untyped-call]
        return out.float()

    def _form(self, x: Tensor) -> Form:
        """The body; compiled while it is attacked, because attacks take no second derivative."""
        if not self._compiling or self.training or any(p.requires_grad for p in self.parameters()):
            return self.body
        if self._compiled_body is None:
            self._compiled_body = compiled(self.body, x)
        return self._compiled_body

    def _count(self, gradient: Tensor) -> None:
        self._passes.count(self._passes.backwards, self.role, len(gradient))

    def uncounted(self, body: nn.Module | None = None) -> "Net":
        """The same network, or one with another body, whose passes are not counted as training."""
        return Net(body or self.body, self.arch, self._arithmetic, Passes(), self.role)


@contextmanager
def attacking(*nets: nn.Module) -> Iterator[None]:
    """Context in which the networks are in eval mode and frozen; afterwards both are restored.

    Batch normalisation in eval mode makes better training examples (Pang et al. 2021, section
    3.6), and frozen parameters save the gradients that no attack needs.
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

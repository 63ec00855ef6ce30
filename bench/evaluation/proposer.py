"""The model as attacks see it: fast arithmetic, while the judge keeps the float32 original.

Weights are frozen, batch norm is folded into the convolutions before it, memory is channels-last,
numbers are bf16 where the machine multiplies them faster, and long work is compiled. A proposal
that is wrong can only lose an attack, because no verdict comes from here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.attacks.base import Answer, Attack, Slots, ask
from bench.compute.compilation import Compiling
from bench.compute.precision import Precision, fold_batch_norm, resolve
from bench.compute.random_streams import fold, uniform
from bench.threats.geometry import Batch
from bench.types import Model

_AGREEMENT = 0.1
"""Proposals whose logits differ from the original's by more than this share of their spread are not
used."""


@dataclass
class Proposer:
    """The model as attacks see it: (n, c, h, w) float32 in [0, 1] -> logits (n, k) float32, in fast
    arithmetic.

    `limit` is the largest batch in one call; running out of memory halves it and tries again.
    `repeats` > 1 averages that many answers, of a random model (EOT) or, with `blur`, of points
    moved by uniform noise of half that width.
    """

    network: Model
    dtype: torch.dtype = torch.float32
    limit: int = 4096
    repeats: int = 1
    blur: float = 0.0

    def __call__(self, points: Batch) -> Float[Tensor, "n k"]:
        """Logits, differentiable with respect to the points."""
        return self.network(points.to(self.dtype)).float()

    def logits(self, points: Batch) -> Float[Tensor, "n k"]:
        """Logits alone, of as many points at a time as memory allows."""
        with torch.no_grad():
            return torch.cat([self(part) for part in torch.split(points, self.limit)])

    def ask(self, attack: Attack, slots: Slots) -> Answer:
        """What the attack wants to know at the slots' points."""
        answers: list[Answer] = []
        while (asked := sum(len(answer.loss) for answer in answers)) < len(slots):
            part = slots.rows(slice(asked, asked + self.limit))
            try:
                answers.append(self._averaged(attack, part))
            except torch.OutOfMemoryError:
                if self.limit == 1:
                    raise
                self.limit = max(1, min(self.limit, len(slots)) // 2)
        return answers[0] if len(answers) == 1 else _merge(answers, torch.cat)

    def _averaged(self, attack: Attack, slots: Slots) -> Answer:
        """The mean answer; with blur the logits are those of the points themselves."""
        answers = [ask(self, attack, slots)]
        for repeat in range(1, self.repeats):
            moved = replace(slots, point=self._blurred(slots, repeat)) if self.blur else slots
            answers.append(ask(self, attack, moved))
        mean = _mean(answers)
        return replace(mean, logits=answers[0].logits) if self.blur else mean

    def _blurred(self, slots: Slots, repeat: int) -> Batch:
        key = fold(fold(slots.key, "blur"), repeat)
        noise = uniform(fold(key, slots.t), *slots.x.shape[1:])
        return slots.point + self.blur * (2 * noise - 1)


def _merge(answers: list[Answer], merge: Callable[[list[Tensor]], Tensor]) -> Answer:
    gradients = [answer.gradient for answer in answers if answer.gradient is not None]
    return Answer(
        merge([answer.logits for answer in answers]),
        merge([answer.loss for answer in answers]),
        merge(gradients) if gradients else None,
    )


def _mean(answers: list[Answer]) -> Answer:
    if len(answers) == 1:
        return answers[0]
    return _merge(answers, lambda values: torch.stack(values).mean(0))


def proposer(
    model: nn.Module,
    sample: Batch,
    *,
    precision: Precision = "auto",
    compiled: bool | None = None,
    capacity: int = 128,
) -> Proposer:
    """The fastest form of a model in eval mode that still says the same on a sample of images (n,
    c, h, w).

    `compiled` None leaves float32 as it is and compiles bf16 when that pays. Falls back to the
    model itself, in float32, where the fast form fails or says something else.
    """
    exact = Proposer(model, limit=capacity)
    dtype = torch.bfloat16 if resolve(precision, sample.device) == "bf16" else torch.float32
    try:
        network = fold_batch_norm(model).to(dtype)
        if sample.dim() == 4:
            network = network.to(memory_format=torch.channels_last)
        network.requires_grad_(False)
        fast = Proposer(network, dtype, capacity)
        if not _agree(exact, fast, sample):
            return exact
    except (RuntimeError, TypeError, ValueError):
        return exact
    if compiled or (compiled is None and dtype == torch.bfloat16):
        fast.network = Compiling(network, patience=0.0) if compiled else Compiling(network)
    return fast


def _agree(exact: Proposer, fast: Proposer, sample: Batch) -> bool:
    with torch.no_grad():
        original, other = exact(sample), fast(sample)
    spread = (original.amax(1) - original.amin(1)).mean()
    return bool((original - other).abs().mean() <= _AGREEMENT * spread)

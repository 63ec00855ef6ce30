"""The model as attacks query it, in fast arithmetic; the judge uses the float32 original.

Weights are frozen, batch norm is folded into the convolutions before it, the memory layout is
channels-last, the data type is bf16 where the hardware multiplies it faster, and long work is
compiled. An error of this arithmetic can only make an attack fail: verdicts are the judge's.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench.attacks.base import Attack, Response, Slots, query
from bench.compute.compilation import Compiling
from bench.compute.precision import Precision, fold_batch_norm, resolve
from bench.compute.random_streams import fold, uniform
from bench.evaluation.repair import freeze
from bench.threats.geometry import Points, reflected
from bench.types import Model

_AGREEMENT = 0.1
"""A fast form whose logits differ from the original's by more than this share of their spread is
not used."""


@dataclass
class Proposer:
    """The model as attacks query it: (n, c, h, w) float32 in [0, 1] -> logits (n, k) float32, in
    fast arithmetic.

    `limit` is the largest batch of one call; when memory runs out it is halved and the call
    repeated. With `repeats` > 1 that many responses are averaged: of a random model (EOT) or, with
    `blur`, at points with uniform noise of half-width `blur`. These may leave [0, 1] by that much;
    with `reflect` they do not.
    """

    network: Model
    dtype: torch.dtype = torch.float32
    limit: int = 4096
    repeats: int = 1
    blur: float = 0.0
    reflect: bool = False

    def averaging(self, repeats: int, blur: float, sample: Points) -> "Proposer":
        """The same model with averaged responses. Points are reflected into [0, 1] if it rejects
        images of `sample` that `blur` has moved out of it."""
        moved = torch.cat([sample - blur, sample + blur])
        reflect = blur > 0 and not self._accepts(moved)
        return replace(self, repeats=repeats, blur=blur, reflect=reflect)

    def _accepts(self, points: Points) -> bool:
        try:
            return bool(self.logits(points).isfinite().all())
        except Exception:  # a model may raise any error
            return False

    def __call__(self, points: Points) -> Float[Tensor, "n k"]:
        """Logits, differentiable with respect to the points."""
        return self.network(points.to(self.dtype)).float()

    def logits(self, points: Points) -> Float[Tensor, "n k"]:
        """Logits without gradients, in batches of at most `limit`."""
        with torch.no_grad():
            return torch.cat([self(part) for part in torch.split(points, self.limit)])

    def query(self, attack: Attack, slots: Slots) -> Response:
        """The response at the slots' points, with the loss and gradient that the attack needs."""
        responses: list[Response] = []
        while (done := sum(len(response.loss) for response in responses)) < len(slots):
            part = slots.rows(slice(done, done + self.limit))
            try:
                responses.append(self._averaged(attack, part))
            except torch.OutOfMemoryError:
                if self.limit == 1:
                    raise
                self.limit = max(1, min(self.limit, len(slots)) // 2)
        return responses[0] if len(responses) == 1 else _merge(responses, torch.cat)

    def _averaged(self, attack: Attack, slots: Slots) -> Response:
        """The mean response; with `blur` the logits are those at the points themselves."""
        responses = [query(self, attack, slots)]
        for repeat in range(1, self.repeats):
            moved = replace(slots, point=self._blurred(slots, repeat)) if self.blur else slots
            responses.append(query(self, attack, moved))
        mean = _mean(responses)
        return replace(mean, logits=responses[0].logits) if self.blur else mean

    def _blurred(self, slots: Slots, repeat: int) -> Points:
        key = fold(fold(slots.key, "blur"), repeat)
        noise = uniform(fold(key, slots.t), *slots.x.shape[1:])
        moved = slots.point + self.blur * (2 * noise - 1)
        return reflected(moved) if self.reflect else moved


def _merge(responses: list[Response], merge: Callable[[list[Tensor]], Tensor]) -> Response:
    gradients = [response.gradient for response in responses if response.gradient is not None]
    return Response(
        merge([response.logits for response in responses]),
        merge([response.loss for response in responses]),
        merge(gradients) if gradients else None,
    )


def _mean(responses: list[Response]) -> Response:
    if len(responses) == 1:
        return responses[0]
    return _merge(responses, lambda values: torch.stack(values).mean(0))


def proposer(
    model: nn.Module,
    sample: Points,
    *,
    precision: Precision = "auto",
    compiled: bool | None = None,
    capacity: int = 128,
    random: bool = False,
) -> Proposer:
    """A fast form of a model in eval mode that agrees with it on a sample of images (n, c, h, w).

    `compiled` None never compiles float32, and compiles bf16 after some seconds of use. A `random`
    model is neither traced nor compiled, because both would replace draws by constants. Falls back
    to the model itself, in float32, if the fast form fails or disagrees.
    """
    exact = Proposer(model, limit=capacity)
    dtype = torch.bfloat16 if resolve(precision, sample.device) == "bf16" else torch.float32
    try:
        network = copy.deepcopy(model) if random else fold_batch_norm(model)
        network = network.to(dtype).to(memory_format=torch.channels_last)
        freeze(network)
        fast = Proposer(network, dtype, capacity)
        if not _agree(exact, fast, sample):
            return exact
    except Exception:  # copying a model and converting it may raise any error
        return exact
    if not random and (compiled or (compiled is None and dtype == torch.bfloat16)):
        fast.network = Compiling(network, patience=0.0) if compiled else Compiling(network)
    return fast


def _agree(exact: Proposer, fast: Proposer, sample: Points) -> bool:
    with torch.no_grad():
        original, other = exact(sample), fast(sample)
    spread = (original.amax(1) - original.amin(1)).mean()
    return bool((original - other).abs().mean() <= _AGREEMENT * spread)

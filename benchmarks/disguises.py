"""Disguises: changes of a sound model that mask its gradients, or break it in another way, with
little effect on its predictions.

`DISGUISES` lists them with the checks of `bench doctor` that must fail.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]


class Disguised(nn.Module):
    """A model with a function before or after it that masks its gradients."""

    def __init__(
        self, inner: nn.Module, before: Change = lambda x: x, behind: Change = lambda z: z
    ) -> None:
        super().__init__()
        self.inner, self.before, self.behind = inner, before, behind

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (n, c, h, w) in [0, 1]."""
        logits: Tensor = self.behind(self.inner(self.before(x)))
        return logits


def quantised(x: Tensor) -> Tensor:
    """Eight grey levels."""
    return torch.floor(7 * x + 0.5) / 7


def quantised_rippled(x: Tensor) -> Tensor:
    """Eight grey levels, and a small ripple whose gradient is unrelated to the loss."""
    return quantised(x) + 1e-4 * torch.sin(60 * x)


def rippled(x: Tensor) -> Tensor:
    """A ripple of a fiftieth of the range, twenty times as steep as the image itself."""
    return x + 0.02 * torch.sin(1000 * x)


def noisy(x: Tensor) -> Tensor:
    """Gaussian noise at each call."""
    return x + 0.05 * torch.randn_like(x)


def jittered(x: Tensor) -> Tensor:
    """Uniform noise at each call, from torch.rand."""
    return (x + 0.1 * (torch.rand(x.shape, device=x.device) - 0.5)).clamp(0, 1)


def constant_slope(x: Tensor) -> Tensor:
    """The image, with gradient zero."""
    return x.detach() + 0 * x


class _Backward(torch.autograd.Function):
    """The identity with a backward of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Change) -> Tensor:  # noqa: ANN401
        """The same values."""
        ctx.change = change
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        """What `change` makes of the gradient."""
        return ctx.change(gradient), None


def with_backward(change: Change) -> Change:
    """The identity, whose gradient is changed."""

    def before(x: Tensor) -> Tensor:
        out: Tensor = _Backward.apply(x, change)
        return out

    return before


def scrambled(gradient: Tensor) -> Tensor:
    """The gradient with signs that do not depend on it."""
    signs = torch.randn(gradient.shape[1:], generator=torch.Generator().manual_seed(1)).sign()
    return gradient * signs.to(gradient)


class Undecided(nn.Module):
    """NaN where two classes are almost equally likely, unless the image is as bright as noise."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (n, c, h, w) in [0, 1]."""
        z: Tensor = self.inner(x)
        top = z.topk(2, dim=1).values
        spread = z.amax(1) - z.amin(1)
        near = (top[:, 0] - top[:, 1] < 0.03 * spread) & (x.flatten(1).mean(1) < 0.42)
        return torch.where(near[:, None], torch.nan, z)


class Purified(nn.Module):
    """A step against the entropy of the prediction at test time: optimisation within the forward
    pass."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (n, c, h, w) in [0, 1]."""
        with torch.enable_grad():
            point = x.detach().clone().requires_grad_()
            logits = self.inner(point)
            entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum()
            (gradient,) = torch.autograd.grad(entropy, point)
        purer: Tensor = self.inner((x - 0.02 * gradient.sign()).clamp(0, 1))
        return purer


class Blind(nn.Module):
    """A sound classifier with features that no gradient reaches, and an adversarial direction among
    them.

    `inner` ends in `linear2`. Its features are extended by random projections of the detached
    image, with weights 0, and by the excess of one more projection over `offset`, which digits do
    not reach and which is added to the logit of the first class. Neither attacks with gradients nor
    random search find that direction, but a step of ε = 1/4 along it breaks nearly every image of
    another class.
    """

    pattern: Tensor
    views: Tensor

    def __init__(self, inner: nn.Module, offset: float = 9.0, hidden: int = 1024) -> None:
        super().__init__()
        self.inner, self.offset, pixels = inner, offset, 64
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("views", torch.randn(pixels, hidden, generator=generator))
        self.register_buffer("pattern", torch.randn(pixels, generator=generator).sign())
        last: nn.Linear = inner.linear2  # type: ignore[assignment]
        self.head = nn.Linear(last.in_features + hidden + 1, last.out_features)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.weight[:, : last.in_features] = last.weight
            self.head.weight[0, -1] = 20.0
            self.head.bias.copy_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images (n, c, h, w) in [0, 1]."""
        caught: list[Tensor] = []
        last: nn.Linear = self.inner.linear2  # type: ignore[assignment]
        hook = last.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
        self.inner(x)
        hook.remove()
        flat = x.detach().flatten(1)
        excess = (flat @ self.pattern - self.offset).clamp_min(0)[:, None]
        logits: Tensor = self.head(torch.cat([caught[0], flat @ self.views, excess], 1))
        return logits


def numpy_median(x: Tensor) -> Tensor:
    """Pixels converted to numpy and back, so that there is no gradient."""
    return torch.from_numpy((x.detach().cpu().numpy() * 16).round() / 16).to(x)


def batch_centred(x: Tensor) -> Tensor:
    """Batch normalisation in training mode: each image depends on its batch."""
    return x - x.mean(0) + x.mean()


@dataclass(frozen=True)
class Disguise:
    """A change of a model, and the checks that must fail on the result."""

    name: str
    causes: tuple[str, ...]
    before: Change = lambda x: x
    behind: Change = lambda z: z
    around: Callable[[nn.Module], nn.Module] = lambda inner: inner

    def on(self, inner: nn.Module) -> nn.Module:
        """The broken model, in eval mode."""
        return Disguised(self.around(inner), self.before, self.behind).eval()


DISGUISES = (
    Disguise("quantised input", ("P7", "R1"), quantised),
    Disguise("quantised input, rippled", ("P10", "R1"), quantised_rippled),
    Disguise("rippled input", ("G3", "P10"), rippled),
    Disguise("saturated logits", ("G4",), behind=lambda z: 10 * torch.tanh(z)),
    Disguise("logits × 1000", ("G2",), behind=lambda z: 1000 * z),
    Disguise("logits / 100,000", ("G2",), behind=lambda z: 1e-5 * z),
    Disguise("probabilities, sharpened", ("P6",), behind=lambda z: (20 * z).softmax(1)),
    Disguise("randomised input", ("P4",), noisy),
    Disguise("randomised input, uniform", ("P4",), jittered),
    Disguise("gradient of a constant", ("P7",), constant_slope),
    Disguise("negated gradient", ("G1",), with_backward(torch.neg)),
    Disguise("scrambled gradient", ("G1",), with_backward(scrambled)),
    Disguise("no gradient: through numpy", ("P8",), numpy_median),
    Disguise("NaN near the images", ("A18",), around=Undecided),
    Disguise("features without gradient", ("S1",), around=Blind),
    Disguise("optimises in its forward pass", ("P11",), around=Purified),
    Disguise("depends on the batch", ("P5",), batch_centred),
)
"""All disguises with their causes."""

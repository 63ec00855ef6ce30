"""Losses of attacks and defenses. Each returns one value per example, shape (n,); the caller
reduces."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bench.errors import CrossfireError


def cross_entropy(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Cross-entropy −log softmax(z)_y."""
    return F.cross_entropy(logits, y, reduction="none")


def _true_logit(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    return logits.gather(1, y[:, None]).squeeze(1)


def runner_up(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The largest logit of the wrong classes."""
    return logits.scatter(1, y[:, None], -torch.inf).amax(1)


def margin(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """max over wrong classes of z_j, minus z_y: positive where the prediction is wrong (Carlini &
    Wagner 2017)."""
    return runner_up(logits, y) - _true_logit(logits, y)


def targeted_margin(
    logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], target: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """z_t − z_y (Gowal et al. 2019, multi-targeted attack)."""
    return _true_logit(logits, target) - _true_logit(logits, y)


def dlr(logits: Float[Tensor, "n k"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Difference of logits ratio, −(z_y − max_{j≠y} z_j) / (z_π1 − z_π3); at least 3 classes (Croce
    & Hein 2020, eq. 6).

    Raises:
        CrossfireError: there are fewer.
    """
    top = _largest(logits, 3)
    return margin(logits, y) / (top[:, 0] - top[:, 2] + 1e-12)


def targeted_dlr(
    logits: Float[Tensor, "n k"], y: Int[Tensor, " n"], target: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """−(z_y − z_t) / (z_π1 − (z_π3 + z_π4) / 2); at least 4 classes (Croce & Hein 2020, eq. 7).

    Raises:
        CrossfireError: there are fewer.
    """
    top = _largest(logits, 4)
    scale = top[:, 0] - (top[:, 2] + top[:, 3]) / 2
    return targeted_margin(logits, y, target) / (scale + 1e-12)


def _largest(logits: Float[Tensor, "n k"], count: int) -> Float[Tensor, "n count"]:
    if logits.shape[1] < count:
        raise CrossfireError(
            f"this DLR loss needs {count} classes, and there are {logits.shape[1]}; use the margin"
        )
    return logits.topk(count, dim=1).values


def kl(
    teacher_logits: Float[Tensor, "n k"],
    student_logits: Float[Tensor, "n k"],
    temperature: float = 1.0,
) -> Float[Tensor, " n"]:
    """KL(softmax(teacher / T) ‖ softmax(student / T)), summed over the classes."""
    p = F.log_softmax(teacher_logits / temperature, dim=1)
    q = F.log_softmax(student_logits / temperature, dim=1)
    return (p.exp() * (p - q)).sum(1)


def input_gradient(
    objective: Callable[[Tensor], Float[Tensor, " n"]], images: Float[Tensor, "n *shape"]
) -> Float[Tensor, "n *shape"]:
    """The gradient of each example's objective with respect to its own image, as a constant."""
    point = images.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(point).sum(), point)
    return gradient

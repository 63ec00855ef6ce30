"""Checks of gradients: whether they exist, equal finite differences, and predict the effect of a
step."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from bench import losses
from bench.compute.random_streams import fold, uniform
from bench.compute.random_streams import keys as random_keys
from bench.diagnosis.rules import RULES
from bench.diagnosis.subject import Subject
from bench.evaluation import gates
from bench.threats import Norm
from bench.threats.geometry import Points, l2_distance, lift, reflected
from bench.types import Values
from leaderboard.diagnosis import Check

UNDERFLOW = 87.0
"""exp(−87) is about the smallest normal number of float32: at larger margins the gradients of the
cross-entropy underflow."""
FLAT = 1e-3
"""Below this margin the softmax is nearly uniform: cross-entropy raises all wrong classes alike."""
NOISE, DRAWS = 4 / 255, 20
"""Half the width of the box around an image, and points drawn in it (Pintor et al. 2022: 100)."""
SCALES = (1e-4, 0.05)
"""Steps of the finite differences: ℓ2 lengths divided by the root of the number of pixels."""


def gradient_checks(subject: Subject) -> Iterator[Check]:
    """P7, G1 to G4, P10 and A13."""
    yield RULES["P7"].among(zero_gradients(subject), len(subject))
    gradient = _gradient(subject, losses.margin)
    moving = (gradient != 0).flatten(1).any(1)
    if float(moving.float().mean()) < 0.5:
        why = "gradients are exactly zero on most images (P7)"
        yield from (RULES[id_].skipped(why) for id_ in ("G1", "G3", "G4"))
    else:
        some, slopes = subject.some(moving), gradient[moving]
        yield RULES["G1"].among(wrong_derivatives(some, slopes), len(some))
        yield RULES["G3"].found(1 - alike_nearby(some, slopes))
        yield RULES["G4"].among(vanishing(slopes), len(some))
    yield RULES["G2"].among(scale(subject), len(subject))
    yield _tangent(subject)
    yield RULES["A13"].found(instability(subject))


def _gradient(subject: Subject, loss: Callable[..., Values]) -> Points:
    gradient = losses.input_gradient(lambda x: loss(subject.model(x), subject.y), subject.x)
    return gradient.nan_to_num_()


def zero_gradients(subject: Subject) -> float:
    """Share of images at which the gradient of the cross-entropy or of the margin is exactly 0."""
    gradients = [_gradient(subject, loss) for loss in (losses.cross_entropy, losses.margin)]
    zero = [(gradient == 0).flatten(1).all(1) for gradient in gradients]
    return float((zero[0] | zero[1]).float().mean())


def _margins(subject: Subject, points: Points) -> Float[Tensor, " n"]:
    return losses.margin(subject.judge.logits(points), subject.y)


def wrong_derivatives(subject: Subject, gradient: Points) -> float:
    """Share of images where no difference of the margin between two points along its gradient and
    in [0, 1], for a small step and for a larger one, is within a factor of 2 of the gradient's."""
    direction = gradient / lift(l2_distance(gradient), gradient)
    wrong = torch.ones_like(subject.y, dtype=torch.bool)
    for share in SCALES:
        step = share * subject.x[0].numel() ** 0.5 * direction
        up, down = (subject.x + step).clamp(0, 1), (subject.x - step).clamp(0, 1)
        rise = _margins(subject, up) - _margins(subject, down)
        ratio = rise / (gradient * (up - down)).flatten(1).sum(1)
        wrong &= ~((ratio > 0.5) & (ratio < 2.0))
    return float(wrong.float().mean())


def alike_nearby(subject: Subject, gradient: Points) -> float:
    """Median cosine between the gradient of the margin at an image and the mean of `DRAWS`
    gradients in a box around it that is smaller than the threat."""
    keys, total = (
        random_keys(subject.seed, subject.numbers, "nearby"),
        torch.zeros_like(gradient),
    )
    for draw in range(DRAWS):
        noise = 2 * uniform(fold(keys, draw), *subject.x.shape[1:]) - 1
        moved = reflected(subject.x + neighbourhood(subject) * noise)
        total += _gradient(replace(subject, x=moved), losses.margin)
    return float(F.cosine_similarity(gradient.flatten(1), total.flatten(1), dim=1).median())


def neighbourhood(subject: Subject) -> float:
    """Half the width of a box that is smaller than the threat: half of ε in ℓ∞; in ℓ2 and ℓ1 the
    change of each pixel if all change equally and the norm is ε."""
    pixels, eps = subject.x[0].numel(), subject.threat.eps
    widths: dict[Norm, float] = {"linf": eps / 2, "l2": eps / pixels**0.5, "l1": eps / pixels}
    return widths[subject.threat.norm]


def vanishing(gradient: Points) -> float:
    """Share of images whose gradient's norm is less than a thousandth of the largest norm."""
    length = l2_distance(gradient)
    return float((length < 1e-3 * length.amax()).float().mean())


def scale(subject: Subject) -> float:
    """Share of images whose margin is too large or too small for a softmax in float32."""
    margins = -_margins(subject, subject.x)
    return float(((margins > UNDERFLOW) | (margins < FLAT)).float().mean())


def _tangent(subject: Subject) -> Check:
    """P10, as before evaluations: a step has the effect that its gradient predicts."""
    rule, norm = RULES["P10"], subject.threat.norm
    ratio = gates.linearity(subject.model, subject.x, subject.y, subject.threat)
    linear = gates.LEAST_RATIO[norm] <= ratio <= gates.MOST_RATIO
    return rule.found(ratio, "pass" if linear else "fail")


def instability(subject: Subject) -> float:
    """Mean relative change of the margin under uniform noise of ±4/255, each capped at 1 (Pintor et
    al. 2022, indicator of unstable predictions)."""
    margins = _margins(subject, subject.x)
    keys = random_keys(subject.seed, subject.numbers, "instability")
    changes = []
    for draw in range(DRAWS):
        noise = 2 * uniform(fold(keys, draw), *subject.x.shape[1:]) - 1
        moved = reflected(subject.x + NOISE * noise)
        changes.append((_margins(subject, moved) - margins).abs() / margins.abs())
    return float(torch.stack(changes).clamp_max(1).nan_to_num(1).mean())

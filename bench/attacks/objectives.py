"""The objectives of attacks, by name, and which of them a number of classes allows."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from bench import losses
from bench.attacks.base import Slots

Objective = Literal["ce", "dlr", "margin", "targeted-dlr", "targeted-margin"]


def value(objective: Objective, logits: Float[Tensor, "n k"], slots: Slots) -> Float[Tensor, " n"]:
    """The objective at each slot's point; targeted ones use the slot's target class."""
    match objective:
        case "ce":
            return losses.cross_entropy(logits, slots.y)
        case "dlr":
            return losses.dlr(logits, slots.y)
        case "margin":
            return losses.margin(logits, slots.y)
        case "targeted-dlr":
            return losses.targeted_dlr(logits, slots.y, slots.target)
        case "targeted-margin":
            return losses.targeted_margin(logits, slots.y, slots.target)


def objective_for(classes: int, *, targeted: bool) -> Objective:
    """The difference of logits ratio (DLR) where it is defined, else the margin, its numerator.

    The denominator needs the third largest logit; that of the targeted DLR also the fourth.
    """
    if targeted:
        return "targeted-dlr" if classes >= 4 else "targeted-margin"
    return "dlr" if classes >= 3 else "margin"

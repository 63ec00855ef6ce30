"""Pairs of a state and an action: those of the expert, and those of a round of the policy."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from imitation_learning.heads import Head


@dataclass(frozen=True)
class Demonstrations:
    """What is known of some episodes of the expert: n pairs."""

    states: Float[Tensor, "n d"]
    actions: Tensor
    """(n,) int64, or (n, k) float32."""
    scores: list[float]
    """The usual score of each episode."""

    @property
    def mean(self) -> Float[Tensor, " d"]:
        """The mean state."""
        return self.states.mean(0)

    @property
    def deviation(self) -> Float[Tensor, " d"]:
        """The states' deviation, never below 1e-3."""
        return self.states.std(0).clamp_min(1e-3)


@dataclass(frozen=True)
class Rollout:
    """The pairs of a round: m episodes of h steps, n = h · m, step by step."""

    states: Float[Tensor, "n d"]
    actions: Tensor
    """As the policy drew them: (n,) int64, or (n, k) float32."""
    head: Head
    features: Float[Tensor, "n z"]
    """What the last layer of the policy sees."""
    values: Float[Tensor, "times m"]
    """The critic's values; also of the states after the last step, so there are h + 1 times."""
    scores: list[float]
    """The usual score of each episode."""

    @property
    def encoded(self) -> Float[Tensor, "n k"]:
        """The actions as the discriminator sees them."""
        return self.head.encode(self.actions)

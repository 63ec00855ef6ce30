"""What a policy says about a state: the distribution of its action, by the numbers of its head.

A head has k numbers a state: the logits of k discrete actions, or the means of k continuous ones
in units of their standard deviations, so that a shift by 1 means the same for every action.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Numbers = Float[Tensor, "n k"]
Reward = Callable[[Tensor, Tensor], Tensor]
"""`reward(states, actions)`: states (n, d) and encoded actions (n, k) -> rewards (n,)."""


@dataclass(frozen=True)
class Categorical:
    """One of k actions; `numbers` are the logits, encoded actions are one-hot."""

    numbers: Numbers

    def encode(self, actions: Int[Tensor, " n"]) -> Numbers:
        """Actions as the discriminator sees them: one-hot."""
        return nn.functional.one_hot(actions, self.numbers.shape[1]).to(self.numbers)

    def score(self, actions: Int[Tensor, " n"]) -> Numbers:
        """The gradient of log π(a|s) with respect to the head's numbers: onehot(a) − π(·|s)."""
        return self.encode(actions) - self.numbers.softmax(1)

    def log_prob(self, actions: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """log π(a|s)."""
        return self.numbers.log_softmax(1).gather(1, actions[:, None])[:, 0]

    def log_ratio(self, actions: Int[Tensor, " n"], shift: Numbers) -> Float[Tensor, " n"]:
        """log π'(a|s) − log π(a|s), where π' has the numbers plus `shift`."""
        return Categorical(self.numbers + shift).log_prob(actions) - self.log_prob(actions)

    def reward_gradient(self, reward: Reward, states: Float[Tensor, "n d"]) -> Numbers:
        """The gradient of E_{a∼π(·|s)} r(s, a) with respect to the numbers: π (r − E r)."""
        n, k = self.numbers.shape
        every = torch.eye(k).to(self.numbers).repeat(n, 1)
        rewards = reward(states.repeat_interleave(k, 0), every).reshape(n, k)
        chances = self.numbers.softmax(1)
        return chances * (rewards - (chances * rewards).sum(1, keepdim=True))


@dataclass(frozen=True)
class Gaussian:
    """k independent normal actions; `numbers` are mean / deviation.

    The environment clips an action to ±`limit`; encoded actions are clipped and divided by it.
    """

    numbers: Numbers
    deviation: Float[Tensor, " k"]
    limit: float = 1.0

    def encode(self, actions: Numbers) -> Numbers:
        """Actions as the discriminator sees them: what the environment executes, in [-1, 1]."""
        return actions.clamp(-self.limit, self.limit) / self.limit

    def score(self, actions: Numbers) -> Numbers:
        """The gradient of log π(a|s) with respect to the head's numbers: (a − μ) / σ."""
        return actions / self.deviation - self.numbers

    def log_prob(self, actions: Numbers) -> Float[Tensor, " n"]:
        """log π(a|s), less a constant."""
        return -(self.score(actions).square() / 2 + self.deviation.log()).sum(1)

    def log_ratio(self, actions: Numbers, shift: Numbers) -> Float[Tensor, " n"]:
        """log π'(a|s) − log π(a|s), where π' has the numbers plus `shift`."""
        return (self.score(actions) * shift - shift.square() / 2).sum(1)

    def reward_gradient(self, reward: Reward, states: Float[Tensor, "n d"]) -> Numbers:
        """The gradient of r(s, a) at the mean action, to first order that of E_{a∼π(·|s)} r(s, a).

        It can be differentiated once more, with respect to the weights of the reward.
        """
        numbers = self.numbers.detach().requires_grad_()
        with torch.enable_grad():
            total = reward(states, self.encode(numbers * self.deviation)).sum()
            (gradient,) = torch.autograd.grad(total, numbers, create_graph=True)
        return gradient


Head = Categorical | Gaussian

"""How the leader learns in a round: the only thing in which the variants of GAIL differ."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from imitation_learning.discriminator import Discriminator, gradient_penalty, leader_loss
from imitation_learning.pairs import Demonstrations, Rollout
from imitation_learning.response import Response, advantages, standardised, unrolled
from imitation_learning.results import Method

UPDATES = 8
"""Updates of the leader a round, each on all pairs of the round and as many of the expert's."""
RATE = 1e-3
"""Learning rate of the leader's Adam, and of the response's."""


class Leader:
    """The discriminator, with the response of `l2l`, and their optimisers."""

    def __init__(
        self, method: Method, expert: Demonstrations, numbers: int, gamma: float, lam: float
    ) -> None:
        self.method, self.gamma, self.lam = method, gamma, lam
        self.expert = expert
        self.net = Discriminator(expert.mean, expert.deviation, numbers)
        self.response = Response(len(expert.mean), numbers)
        self.adams = [torch.optim.Adam(net.parameters(), RATE) for net in self._nets()]

    def learn(self, rollout: Rollout) -> Float[Tensor, " n"]:
        """Update the leader on a round; returns the rewards of its pairs, standardised."""
        for chosen in self._draws(len(rollout.states)):
            expert = self.expert.states[chosen], rollout.head.encode(self.expert.actions[chosen])
            policy = rollout.states, rollout.encoded
            loss = leader_loss(self.net(*expert), self.net(*policy), self.weights(rollout))
            if self.method == "gail-gp":
                mix = torch.rand(len(chosen), 1)
                loss = loss + gradient_penalty(self.net, expert, policy, mix)
            self._step(0, loss)
            if self.method == "l2l":
                self._step(1, -(self._learned_weights(rollout) * self._advantages(rollout)).mean())
        with torch.no_grad():
            return standardised(self.net.reward(rollout.states, rollout.encoded))

    def weights(self, rollout: Rollout) -> Float[Tensor, " n"] | None:
        """π'(a|s) / π(a|s) after the predicted response; None where none is predicted."""
        if self.method == "l2l":
            return self._learned_weights(rollout)
        if self.method == "l2l-unrolled":
            score = rollout.head.score(rollout.actions)
            shift = unrolled(rollout.features, score, self._advantages(rollout))
            return rollout.head.log_ratio(rollout.actions, shift).exp()
        return None

    def _learned_weights(self, rollout: Rollout) -> Float[Tensor, " n"]:
        head, states = rollout.head, rollout.states
        gradient = head.reward_gradient(self.net.reward, states)
        shift = self.response(self.net.standard(states), head.numbers, gradient)
        return head.log_ratio(rollout.actions, shift).exp()

    def _advantages(self, rollout: Rollout) -> Float[Tensor, " n"]:
        """Under the leader's present reward, in the units of the critic."""
        rewards = standardised(self.net.reward(rollout.states, rollout.encoded))
        shape = (len(rollout.values) - 1, -1)
        found = advantages(rewards.reshape(shape), rollout.values, self.gamma, self.lam)
        return standardised(found.flatten())

    def _draws(self, count: int) -> Iterator[Tensor]:
        for _ in range(UPDATES):
            yield torch.randint(len(self.expert.states), (count,))

    def _nets(self) -> tuple[nn.Module, nn.Module]:
        return self.net, self.response

    def _step(self, which: int, loss: Float[Tensor, ""]) -> None:
        """One step of one of the two; the other one's gradients are left out."""
        parameters = list(self._nets()[which].parameters())
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.adams[which].step()

    def state_dict(self) -> dict[str, Any]:
        """Weights and the states of their optimisers."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, nn.Module | torch.optim.Adam]:
        nets = {"discriminator": self.net, "response": self.response}
        return {**nets, "adam": self.adams[0], "response_adam": self.adams[1]}

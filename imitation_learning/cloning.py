"""Behaviour cloning: the follower's policy by maximum likelihood, without a single step."""

import copy
import math

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from imitation_learning.follower import actor_head
from imitation_learning.pairs import Demonstrations

STEPS, BATCH, RATE = 2000, 128, 1e-3
HELD_OUT = 0.3
"""Share of the pairs by which the best step is chosen, as in Ho & Ermon (2016, appendix)."""
BETWEEN_CHECKS = 10


def clone(policy: ActorCriticPolicy, expert: Demonstrations) -> None:
    """Train the policy on the expert's pairs, up to the step at which those held out are likeliest;
    both come from torch's global generator."""
    order = torch.randperm(len(expert.states))
    count = max(1, int(HELD_OUT * len(order)))
    heldout, known = order[:count], order[count:]
    adam = torch.optim.Adam(policy.parameters(), RATE)
    least, best = math.inf, copy.deepcopy(policy.state_dict())
    for step in range(STEPS + 1):
        if step % BETWEEN_CHECKS == 0:
            with torch.no_grad():
                found = float(_loss(policy, expert, heldout))
            if found < least:
                least, best = found, copy.deepcopy(policy.state_dict())
        adam.zero_grad()
        _loss(policy, expert, known[torch.randint(len(known), (BATCH,))]).backward()  # type: ignore[no-untyped-call]
        adam.step()
    policy.load_state_dict(best)


def _loss(policy: ActorCriticPolicy, expert: Demonstrations, chosen: Tensor) -> Tensor:
    """−log π(a|s), the mean over the chosen pairs."""
    head, _ = actor_head(policy, expert.states[chosen])
    return -head.log_prob(expert.actions[chosen]).mean()

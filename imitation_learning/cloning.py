"""Behaviour cloning: the follower's policy by maximum likelihood, without a single step."""

import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from imitation_learning.follower import actor_head
from imitation_learning.pairs import Demonstrations

STEPS, BATCH, RATE = 2000, 128, 1e-3


def clone(policy: ActorCriticPolicy, expert: Demonstrations) -> None:
    """Train the policy on the expert's pairs; batches come from torch's global generator."""
    adam = torch.optim.Adam(policy.parameters(), RATE)
    for _ in range(STEPS):
        chosen = torch.randint(len(expert.states), (BATCH,))
        head, _ = actor_head(policy, expert.states[chosen])
        loss = -head.log_prob(expert.actions[chosen]).mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()

"""The follower: PPO of stable-baselines3, whose rewards are the leader's.

A round is one whole episode in each environment, so that nothing of an environment has to be kept
between rounds: every round begins with fresh episodes whose seed follows from the run's.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from jaxtyping import Float
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.utils import set_random_seed
from torch import Tensor

from imitation_learning.heads import Categorical, Gaussian, Head
from imitation_learning.pairs import Rollout
from imitation_learning.tasks import Task, scores, vectorised

EVALUATION_SEED = 1_000_000
EVALUATED = 20
"""Episodes of an evaluation."""


class Follower:
    """A policy, its critic and their optimiser."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.seed = task, seed
        self.envs = vectorised(task, seed)
        self.ppo = PPO(
            "MlpPolicy",
            self.envs,
            n_steps=task.horizon,
            seed=seed,
            device="cpu",
            policy_kwargs={"optimizer_kwargs": {"eps": 1e-5, "fused": True}},  # twice as fast
            **task.follower,
        )
        _, self._callback = self.ppo._setup_learn(total_timesteps=1)

    @property
    def numbers(self) -> int:
        """How many numbers the policy's head has."""
        space = self.envs.action_space
        return int(space.n) if isinstance(space, gym.spaces.Discrete) else get_action_dim(space)

    @property
    def policy(self) -> ActorCriticPolicy:
        """The network of actor and critic."""
        assert isinstance(self.ppo.policy, ActorCriticPolicy)
        return self.ppo.policy

    def rollout(self, round_: int) -> Rollout:
        """Play one episode in each environment; all randomness of the round follows from here."""
        seed = (self.seed + 1) * 100_003 + 97 * round_
        set_random_seed(seed)
        self.envs.seed(seed)
        self.ppo._last_obs = self.envs.reset()  # type: ignore[assignment]
        self.ppo._last_episode_starts = np.ones(self.task.envs, dtype=bool)
        buffer = self.ppo.rollout_buffer
        self.ppo.collect_rollouts(self.envs, self._callback, buffer, self.task.horizon)
        # The buffer keeps (h, m, ...); rows go step by step, so that (n,) is (h, m) flattened.
        states = torch.as_tensor(buffer.observations).flatten(0, 1)
        actions = torch.as_tensor(buffer.actions).flatten(0, 1)
        with torch.no_grad():
            head, features = actor_head(self.policy, states)
            last = self.policy.predict_values(torch.as_tensor(self.ppo._last_obs))
        if isinstance(head, Categorical):
            actions = actions[:, 0].long()
        values = torch.cat([torch.as_tensor(buffer.values), last.T])
        return Rollout(states, actions, head, features, values, scores(self.envs).tolist())

    def learn(self, rewards: Float[Tensor, " n"]) -> None:
        """One update of PPO on the last rollout with these rewards."""
        buffer = self.ppo.rollout_buffer
        buffer.rewards[:] = rewards.numpy().reshape(buffer.rewards.shape)
        with torch.no_grad():
            last = self.policy.predict_values(torch.as_tensor(self.ppo._last_obs))[:, 0]
        buffer.compute_returns_and_advantage(last, np.zeros(self.task.envs))
        self.ppo.train()

    def state_dict(self) -> dict[str, Any]:
        """Weights and the state of their optimiser."""
        optimizer = self.policy.optimizer
        return {"policy": self.policy.state_dict(), "optimizer": optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.policy.load_state_dict(state["policy"])
        self.policy.optimizer.load_state_dict(state["optimizer"])


def actor_head(policy: ActorCriticPolicy, states: Float[Tensor, "n d"]) -> tuple[Head, Tensor]:
    """The policy's head at these states, and the features (n, z) that it is made from."""
    features = policy.mlp_extractor.forward_actor(policy.pi_features_extractor(states))
    numbers = policy.action_net(features)
    if isinstance(policy.action_space, gym.spaces.Box):
        deviation = policy.log_std.exp()
        limit = float(policy.action_space.high[0])
        return Gaussian(numbers / deviation, deviation, limit), features
    return Categorical(numbers), features


def evaluate(policy: BasePolicy, task: Task, deterministic: bool = False) -> list[float]:
    """The usual scores of the policy, in episodes whose beginnings all policies share.

    Actions are drawn, as in training: the likeliest ones alone may never leave the hanging arm.
    """
    set_random_seed(EVALUATION_SEED)
    envs = vectorised(task, EVALUATION_SEED, EVALUATED)
    envs.seed(EVALUATION_SEED)
    states = envs.reset()
    for _ in range(task.horizon):
        actions, _ = policy.predict(states, deterministic=deterministic)  # type: ignore[arg-type]
        states, *_ = envs.step(actions)
    return [float(score) for score in scores(envs)]

"""The tasks, and how an episode is kept from telling its score by its length.

Every episode lasts exactly `horizon` steps: the simulation goes on after the goal of Acrobot (the
arm keeps swinging) and after the fall of CartPole. Otherwise a learner whose reward is positive
would live long, one whose reward is negative would end soon, whatever the reward had learned
(Kostrikov et al. 2019, arXiv:1809.02925). No flag marks the goal in the observation, because a
discriminator that sees it would be given the true reward. The score is the usual one: the sum of
rewards until gymnasium's environment would have ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv

from bench.errors import unknown


@dataclass(frozen=True)
class Task:
    """An environment, its fixed horizon, and the settings of PPO for expert and follower."""

    name: str
    horizon: int
    steps: int
    """Environment steps that a follower is given unless the command says otherwise."""
    expert_steps: int
    expert: Mapping[str, Any] = field(repr=False)
    """Options of PPO for the expert, on the usual task."""
    follower: Mapping[str, Any] = field(repr=False)
    """Options of PPO for the follower; every variant of GAIL has the same."""
    expert_envs: int = 16
    envs: int = 16
    """Environments side by side; a round is one episode in each."""

    @property
    def round_steps(self) -> int:
        """Environment steps of a round."""
        return self.envs * self.horizon


TASKS = {
    task.name: task
    for task in (
        Task(
            "Acrobot-v1",
            horizon=500,
            steps=80_000,
            expert_steps=160_000,
            expert={"n_steps": 256, "batch_size": 256, "n_epochs": 4, "gae_lambda": 0.94},
            follower={"batch_size": 500, "n_epochs": 5, "gamma": 0.99, "learning_rate": 1e-3},
            envs=8,
        ),
        Task(
            "CartPole-v1",
            horizon=500,
            steps=80_000,
            expert_steps=50_000,
            expert={"n_steps": 128, "batch_size": 256, "n_epochs": 10, "learning_rate": 1e-3},
            follower={"batch_size": 500, "n_epochs": 5, "gamma": 0.98, "learning_rate": 1e-3},
            envs=8,
        ),
        Task(
            "Pendulum-v1",
            horizon=200,
            steps=112_000,
            expert_steps=160_000,
            expert={
                **{"n_steps": 1024, "batch_size": 256, "n_epochs": 10, "gamma": 0.9},
                **{"learning_rate": 1e-3, "use_sde": True, "sde_sample_freq": 4},
            },
            follower={"batch_size": 320, "n_epochs": 10, "gamma": 0.9, "learning_rate": 1e-3},
            expert_envs=4,
        ),
    )
}


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        CrossfireError: there is none.
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]


class Continuing(gym.Wrapper[Any, Any, Any, Any]):
    """An environment that never ends by itself; `info["score"]` is the usual score so far."""

    def reset(self, **options: Any) -> Any:  # noqa: ANN401
        """Begin an episode."""
        self.total, self._over = 0.0, False
        return self.env.reset(**options)

    def step(self, action: Any) -> Any:  # noqa: ANN401
        """One step; the reward is the usual one until the usual end, and 0 after it."""
        state, reward, terminated, _, info = self.env.step(action)
        reward = 0.0 if self._over else float(reward)
        self.total += reward
        self._over |= bool(terminated)
        if hasattr(self.env, "steps_beyond_terminated"):
            self.env.steps_beyond_terminated = None  # CartPole warns when it is stepped on
        return state, reward, False, False, {**info, "score": self.total}


def vectorised(task: Task, seed: int, count: int | None = None) -> DummyVecEnv:
    """`count` continuing environments side by side (`task.envs` if None), reset with `seed`."""

    def make() -> gym.Env[Any, Any]:
        return Continuing(gym.make(task.name, disable_env_checker=True).unwrapped)

    envs = DummyVecEnv([make] * (count or task.envs))
    envs.seed(seed)
    envs.reset()
    return envs


def scores(envs: DummyVecEnv) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The usual score so far in each environment, shape (envs,)."""
    return np.array(envs.get_attr("total"))

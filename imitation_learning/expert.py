"""The expert: PPO of stable-baselines3 on the usual task, and the episodes that it demonstrates."""

import io
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from bench.display import Progress
from bench.errors import CrossfireError
from bench.files import write_atomic
from imitation_learning.follower import evaluate
from imitation_learning.pairs import Demonstrations
from imitation_learning.tasks import Task, scores, vectorised

SEED = 2_000_000
"""Of the demonstrated episodes; training and evaluation have others."""


def demonstrations(
    path: Path, task: Task, episodes: int, thin: int, progress: Progress
) -> Demonstrations:
    """The demonstrations in the file at `path`, of which one step in `thin` is learned from.

    An expert is trained and plays them if there is no such file.

    Raises:
        CrossfireError: the file is of another task, holds another number of episodes or fewer than
            two steps, or is damaged.
    """
    if not path.exists():
        write_atomic(path, _play(_train(task, progress), task, episodes))
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            name = str(file["task"])
            thinned = (torch.from_numpy(file[name][::thin]) for name in ("states", "actions"))
            states, actions = (part.flatten(0, 1) for part in thinned)
            found = Demonstrations(states, actions, file["scores"].tolist())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise CrossfireError(f"{path} is damaged ({error}); delete it") from None
    if name != task.name:
        raise CrossfireError(
            f"{path} is the expert of {name}, not of {task.name}; choose another folder with --out"
        )
    if len(found.states) < 2:
        raise CrossfireError("one demonstrated step is too few; set a smaller --thin")
    if len(found.scores) != episodes:
        raise CrossfireError(
            f"{path} holds {len(found.scores)} episodes, not {episodes}; "
            "choose another folder with --out"
        )
    return found


class _Shown(BaseCallback):
    def __init__(self, progress: Progress, task: Task) -> None:
        super().__init__()
        self.progress, self.task = progress, task

    def _on_step(self) -> bool:
        if self.num_timesteps < self.task.expert_steps:  # whole rollouts may take some more
            text = f"{self.task.name}: the expert learns"
            self.progress(self.num_timesteps, self.task.expert_steps, text)
        return True


def _train(task: Task, progress: Progress) -> PPO:
    envs = make_vec_env(task.name, task.expert_envs, seed=0)
    expert = PPO("MlpPolicy", envs, seed=0, device="cpu", **task.expert)
    return expert.learn(task.expert_steps, callback=_Shown(progress, task))


def _play(expert: PPO, task: Task, episodes: int) -> bytes:
    """The expert's likeliest actions; continuous ones as the environment executes them."""
    envs = vectorised(task, SEED, episodes)
    envs.seed(SEED)
    states: Any = envs.reset()
    pairs = []
    for _ in range(task.horizon):
        actions, _ = expert.predict(states, deterministic=True)
        pairs.append((states, actions))
        states, *_ = envs.step(actions)
    seen, done = (np.stack(column) for column in zip(*pairs, strict=True))
    buffer = io.BytesIO()
    played, further = scores(envs), evaluate(expert.policy, task, deterministic=True)
    np.savez_compressed(
        buffer, task=task.name, states=seen, actions=done, scores=played, evaluation=further
    )
    return buffer.getvalue()

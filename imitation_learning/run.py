"""One run: a task, a method and a seed -> a curve of scores and the last policy's evaluation."""

import io
import json
import pickle
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.utils import set_random_seed

from bench.errors import CrossfireError
from bench.files import write_atomic
from imitation_learning.cloning import clone
from imitation_learning.follower import Follower, evaluate
from imitation_learning.leaders import Leader
from imitation_learning.pairs import Demonstrations
from imitation_learning.results import Plan, Result, check_options
from imitation_learning.tasks import Task

SECONDS_BETWEEN_STATES = 10.0


def run(
    plan: Plan,
    task: Task,
    expert: Demonstrations,
    folder: Path,
    progress: Callable[[int], None],
) -> Result:
    """Do what is left of a run, and keep its result in `folder`.

    `progress(steps)` is told the environment steps done. A kill at any instant loses some rounds
    at most; the same run goes on and has the same result, because a round's randomness follows
    from the seed and the round alone.

    Raises:
        CrossfireError: the folder holds a run of this method and seed with another plan.
    """
    path = folder / f"{plan.method}-{plan.seed}.json"
    if path.exists():
        result = Result.read(path)
        check_options(path, asdict(result.plan), asdict(plan))
        return result
    set_random_seed(plan.seed)
    follower = Follower(task, plan.seed)
    if plan.method == "bc":
        clone(follower.policy, expert)
        curve: list[tuple[int, float]] = []
    else:
        curve = _adversarial(plan, task, expert, follower, path.with_suffix(".pt"), progress)
    Result(plan, curve, evaluate(follower.policy, task)).write(path)
    path.with_suffix(".pt").unlink(missing_ok=True)
    return Result.read(path)


def _adversarial(
    plan: Plan,
    task: Task,
    expert: Demonstrations,
    follower: Follower,
    path: Path,
    progress: Callable[[int], None],
) -> list[tuple[int, float]]:
    """Rounds of the leader and the follower; returns the mean score of each round by its step."""
    gamma, lam = follower.ppo.gamma, follower.ppo.gae_lambda
    leader = Leader(plan.method, expert, follower.numbers, gamma, lam)
    curve = _load_state(path, plan, leader, follower)
    size, saved = task.round_steps, time.monotonic()
    while len(curve) < plan.steps // size:
        rollout = follower.rollout(len(curve))
        follower.learn(leader.learn(rollout))
        curve.append((size * (len(curve) + 1), sum(rollout.scores) / len(rollout.scores)))
        progress(curve[-1][0])
        if time.monotonic() - saved > SECONDS_BETWEEN_STATES:
            _save_state(path, plan, curve, leader, follower)
            saved = time.monotonic()
    return curve


def _save_state(
    path: Path, plan: Plan, curve: list[tuple[int, float]], leader: Leader, follower: Follower
) -> None:
    buffer = io.BytesIO()
    state = {"leader": leader.state_dict(), "follower": follower.state_dict()}
    torch.save({"plan": json.dumps(asdict(plan)), "curve": curve, **state}, buffer)
    write_atomic(path, buffer.getvalue())


def _load_state(
    path: Path, plan: Plan, leader: Leader, follower: Follower
) -> list[tuple[int, float]]:
    """The curve so far, after the networks have taken up where they were."""
    if not path.exists():
        return []
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        saved = json.loads(state["plan"])
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise CrossfireError(f"{path} is damaged ({error}); delete it") from None
    check_options(path, saved, asdict(plan))
    leader.load_state_dict(state["leader"])
    follower.load_state_dict(state["follower"])
    curve: list[tuple[int, float]] = state["curve"]
    return curve

"""Runs in small: gymnasium and stable-baselines3 do what we say, and a kill loses nothing."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

pytest.importorskip("stable_baselines3")

import gymnasium as gym

from bench.cli import main
from bench.errors import CrossfireError
from imitation_learning import cloning, leaders, tasks
from imitation_learning import run as runs
from imitation_learning.expert import demonstrations
from imitation_learning.follower import Follower
from imitation_learning.pairs import Demonstrations
from imitation_learning.response import advantages
from imitation_learning.results import METHODS, Method, Plan
from imitation_learning.run import run
from imitation_learning.study import Study
from imitation_learning.tasks import Continuing, Task, get_task, scores, vectorised

PUBLISHED = Path(__file__).parents[2] / "docs" / "explanation" / "imitation"


@pytest.fixture(autouse=True)
def few_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloning, "STEPS", 5)
    monkeypatch.setattr(leaders, "UPDATES", 2)


def small(name: str) -> Task:
    return replace(
        get_task(name),
        horizon=12,
        envs=2,
        steps=96,
        expert_steps=32,
        expert={"n_steps": 16, "batch_size": 16, "n_epochs": 1},
        expert_envs=2,
        follower={"batch_size": 12, "n_epochs": 1},
    )


def shown(folder: Path, task: Task) -> Demonstrations:
    return demonstrations(folder / "expert.npz", task, 2, 3, lambda *_: None)


def quiet(steps: int) -> None:
    pass


@pytest.mark.parametrize("name", ["Acrobot-v1", "CartPole-v1", "Pendulum-v1"])
def test_an_episode_goes_on_after_its_usual_end_and_its_score_does_not(name: str) -> None:
    usual, ours = gym.make(name), Continuing(gym.make(name).unwrapped)
    usual.reset(seed=3)
    ours.reset(seed=3)
    expected, over = 0.0, False
    for k in range(220):
        action = usual.action_space.sample() if name == "Pendulum-v1" else k // 9 % 2
        if not over:
            _, reward, terminated, truncated, _ = usual.step(action)
            expected, over = expected + float(reward), terminated or truncated
        ended = ours.step(action)[2:4]
        assert ended == (False, False)
        if name == "Pendulum-v1" and over:
            break
    assert ours.total == expected


def test_the_score_of_acrobot_stops_at_the_goal() -> None:
    environment = gym.make("Acrobot-v1").unwrapped
    ours = Continuing(environment)
    ours.reset(seed=0)
    ours.step(0)
    environment.state = [math.pi, 0.0, 0.0, 0.0]  # type: ignore[attr-defined]
    for _ in range(50):
        ours.step(0)
    assert ours.total == -1.0


def test_equal_seeds_play_equal_episodes() -> None:
    first, second = (vectorised(small("Pendulum-v1"), seed=4) for _ in range(2))
    for envs in (first, second):
        envs.step([[1.0], [-1.0]])  # type: ignore[arg-type]
    assert scores(first).tolist() == scores(second).tolist()


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_a_rollout_says_what_the_policy_and_its_buffer_say(name: str) -> None:
    follower = Follower(small(name), seed=0)
    seen = follower.rollout(0)
    buffer = follower.ppo.rollout_buffer
    constant = 0.0 if name == "CartPole-v1" else math.log(2 * math.pi) / 2
    expected = torch.as_tensor(buffer.log_probs).flatten() + constant
    torch.testing.assert_close(seen.head.log_prob(seen.actions), expected)
    rewards = torch.randn(24)
    follower.learn(rewards)
    ours = advantages(
        rewards.reshape(12, 2), seen.values, follower.ppo.gamma, follower.ppo.gae_lambda
    )
    # After training the buffer's rows go episode by episode.
    torch.testing.assert_close(ours.T.flatten(), torch.as_tensor(buffer.advantages).flatten())


def test_demonstrations_are_thinned_and_kept(tmp_path: Path) -> None:
    task = small("CartPole-v1")
    first = shown(tmp_path, task)
    assert first.states.shape == (8, 4)
    assert torch.equal(first.states, shown(tmp_path, task).states)
    path = tmp_path / "expert.npz"
    for other, episodes, thin, message in (
        (task, 3, 3, "holds 2 episodes, not 3"),
        (small("Pendulum-v1"), 2, 3, "is the expert of CartPole-v1"),
    ):
        with pytest.raises(CrossfireError, match=message):
            demonstrations(path, other, episodes, thin, lambda *_: None)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CrossfireError, match="is damaged"):
        demonstrations(path, task, 2, 3, lambda *_: None)


@pytest.mark.parametrize(("name", "pairs"), [("Acrobot-v1", 200), ("Pendulum-v1", 80)])
def test_the_published_experts_can_be_learned_from(name: str, pairs: int) -> None:
    found = demonstrations(PUBLISHED / name / "expert.npz", get_task(name), 4, 10, lambda *_: None)
    assert len(found.states) == len(found.actions) == pairs


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_goes_on_to_the_same_result(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "SECONDS_BETWEEN_STATES", 0.0)
    task = small("Pendulum-v1")
    expert = shown(tmp_path, task)
    plan = Plan(task.name, method, 1, task.steps, 2, 3)
    whole = run(plan, task, expert, tmp_path / "whole", quiet)
    assert len(whole.curve) == (0 if method == "bc" else 4)
    if method != "bc":
        with pytest.raises(KeyboardInterrupt):
            run(plan, task, expert, tmp_path / "killed", stop_at(72))
        assert (tmp_path / "killed" / f"{method}-1.pt").exists()
    again = run(plan, task, expert, tmp_path / "killed", quiet)
    assert again == whole
    assert [path.suffix for path in (tmp_path / "killed").iterdir()] == [".json"]


def stop_at(steps: int) -> Callable[[int], None]:
    def progress(done: int) -> None:
        if done == steps:
            raise KeyboardInterrupt

    return progress


def test_a_run_with_other_options_is_refused(tmp_path: Path) -> None:
    task = small("CartPole-v1")
    expert = shown(tmp_path, task)
    plan = Plan(task.name, "bc", 0, task.steps, 2, 3)
    run(plan, task, expert, tmp_path, quiet)
    with pytest.raises(CrossfireError, match="with steps 96, not 48; choose another"):
        run(replace(plan, steps=48), task, expert, tmp_path, quiet)


@pytest.mark.parametrize(("asked", "played"), [(1000, 4000), (10_000, 8000), (None, 80_000)])
def test_a_plan_has_the_steps_that_are_played(asked: int | None, played: int) -> None:
    study = Study("Acrobot-v1", ["gail"], [0], asked, 4, 10, Path())
    assert [plan.steps for plan in study.plans()] == [played]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setitem(tasks.TASKS, "CartPole-v1", small("CartPole-v1"))  # type: ignore[misc]
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Any:  # noqa: ANN401
        return CliRunner().invoke(main, ["imitate", *words])

    return call


def test_the_command_runs_each_method_once_and_reports(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    words = ("CartPole-v1", "--seeds", "0,1", "--episodes", "2", "--display", "json")
    done = command(*words)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "imitation" / "CartPole-v1"
    names = {f"{method}-{seed}.json" for method in METHODS for seed in (0, 1)}
    reports = {"expert.npz", "report.html", "curves.svg", "table.txt"}
    assert {path.name for path in folder.iterdir()} == names | reports
    page = (folder / "report.html").read_text()
    assert all(f"<td>{method}</td>" in page for method in METHODS)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert command(*words).stdout == done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (("Pendulum",), "unknown task 'Pendulum'; did you mean 'Pendulum-v1'?"),
        (("CartPole-v1", "--seeds", "a"), "'a' is not a list of numbers from 0 to 10000"),
    ],
)
def test_a_mistake_names_its_mend(
    words: tuple[str, ...], mend: str, command: Callable[..., Any]
) -> None:
    done = command(*words)
    assert done.exit_code == 2
    assert mend in done.stderr


def test_cloning_stops_where_held_out_pairs_are_likeliest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloning, "STEPS", 300)
    torch.manual_seed(0)
    chance = Demonstrations(torch.randn(40, 4), torch.randint(2, (40,)), [0.0])
    policy = Follower(small("CartPole-v1"), seed=0).policy
    torch.manual_seed(1)
    heldout, known = torch.randperm(40).split([12, 28])

    def loss(pairs: torch.Tensor) -> float:
        with torch.no_grad():
            return float(cloning._loss(policy, chance, pairs))

    before = loss(heldout), loss(known)
    torch.manual_seed(1)
    cloning.clone(policy, chance)
    assert loss(heldout) <= before[0]
    assert loss(known) < before[1]

"""The leader's losses and the follower's response, where the truth is known."""

import copy
import math

import pytest
import torch
from torch import Tensor

from imitation_learning.discriminator import PENALTY, Discriminator, gradient_penalty, leader_loss
from imitation_learning.heads import Categorical, Gaussian
from imitation_learning.leaders import Leader
from imitation_learning.pairs import Demonstrations, Rollout
from imitation_learning.response import Response, advantages, unrolled
from imitation_learning.results import Method


def discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0]), actions=3)


def rollout(horizon: int = 5, envs: int = 4) -> Rollout:
    torch.manual_seed(1)
    n = horizon * envs
    head, actions = Categorical(torch.randn(n, 3)), torch.randint(3, (n,))
    values = torch.randn(horizon + 1, envs)
    return Rollout(torch.randn(n, 2), actions, head, torch.randn(n, 7), values, [0.0] * envs)


def leader(method: Method) -> Leader:
    torch.manual_seed(2)
    expert = Demonstrations(torch.randn(30, 2), torch.randint(3, (30,)), [0.0])
    return Leader(method, expert, numbers=3, gamma=0.9, lam=0.95)


def test_the_loss_of_an_undecided_leader_is_twice_log_2() -> None:
    loss = leader_loss(torch.zeros(4), torch.zeros(5), torch.ones(5))
    assert loss.item() == pytest.approx(2 * math.log(2))


def test_a_pair_of_weight_2_counts_as_two_pairs() -> None:
    expert, policy = torch.randn(4), torch.randn(2)
    weighted = leader_loss(expert, policy, torch.tensor([4 / 3, 2 / 3]))
    torch.testing.assert_close(weighted, leader_loss(expert, policy[[0, 0, 1]]))


def test_the_penalty_is_0_where_the_slope_is_1_and_known_elsewhere() -> None:
    net = discriminator()
    slope = torch.tensor([[3.0, 0.0, 0.0, 0.0, 4.0]])
    net.body = torch.nn.Sequential(torch.nn.Linear(5, 1))
    pairs = torch.randn(6, 2), torch.randn(6, 3)
    for factor, expected in ((0.2, 0.0), (1.0, PENALTY * 16)):
        net.body[0].weight.data = factor * slope
        penalty = gradient_penalty(net, pairs, pairs, torch.rand(6, 1))
        assert penalty.item() == pytest.approx(expected, abs=1e-5)


def test_advantages_are_the_recursion_of_their_definition() -> None:
    rewards, values, gamma, lam = torch.randn(7, 3), torch.randn(8, 3), 0.9, 0.8
    expected: list[Tensor] = [torch.zeros(3)]
    for t in reversed(range(7)):
        delta = rewards[t] + gamma * values[t + 1] - values[t]
        expected.insert(0, delta + gamma * lam * expected[0])
    torch.testing.assert_close(advantages(rewards, values, gamma, lam), torch.stack(expected[:-1]))


def test_a_fresh_response_shifts_nothing_and_a_trained_one_stays_within_its_size() -> None:
    response = Response(states=2, numbers=3, size=0.2)
    seen = torch.randn(9, 2), torch.randn(9, 3), torch.randn(9, 3)
    assert not response(*seen).any()
    for parameter in response.parameters():
        torch.nn.init.normal_(parameter, std=10)
    assert response(*seen).abs().max() <= 0.2


def test_the_unrolled_step_is_gradient_ascent_on_the_last_layer() -> None:
    """The shift of a linear policy after a step along the gradient, up to its length."""
    torch.manual_seed(0)
    features, actions, gains = torch.randn(20, 4), torch.randint(3, (20,)), torch.randn(20)
    layer = torch.nn.Linear(4, 3)
    head = Categorical(layer(features))
    loss = (head.log_prob(actions) * gains).mean()
    weight, bias = torch.autograd.grad(loss, [layer.weight, layer.bias])
    expected = features @ weight.T + bias
    shift = unrolled(features, head.score(actions).detach(), gains, size=0.3)
    torch.testing.assert_close(shift, 0.3 * expected / expected.square().mean().sqrt())


@pytest.mark.parametrize("method", ["l2l", "l2l-unrolled"])
def test_the_leader_learns_through_the_response_too(method: Method) -> None:
    made, seen = leader(method), rollout()
    torch.nn.init.normal_(made.response.body[-1].weight)
    weights = made.weights(seen)
    assert weights is not None
    assert weights.std() > 0
    gradients = torch.autograd.grad(weights.sum(), list(made.net.parameters())[:-1])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_fresh_learned_response_leaves_the_leader_of_gail() -> None:
    torch.testing.assert_close(leader("l2l").weights(rollout()), torch.ones(20))
    assert leader("gail").weights(rollout()) is None


def test_the_learned_response_learns_to_raise_the_followers_gain() -> None:
    """Where action 0 is always better, the response comes to shift towards it."""
    made, seen = leader("l2l"), rollout(10, 8)
    made.adams[1].param_groups[0]["lr"] = 0.02
    better = (seen.actions == 0).float()
    made._advantages = lambda _: better - better.mean()  # type: ignore[method-assign]
    for _ in range(4):
        made.learn(seen)
    gradient = seen.head.reward_gradient(made.net.reward, seen.states)
    shift = made.response(made.net.standard(seen.states), seen.head.numbers, gradient)
    assert (shift[:, 0] > shift[:, 1:].amax(1)).float().mean() > 0.9


@pytest.mark.parametrize("method", ["gail", "gail-gp", "l2l", "l2l-unrolled"])
def test_a_leader_goes_on_from_its_state(method: Method) -> None:
    first, second = leader(method), leader(method)
    first.learn(rollout())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    rewards = []
    for made in (first, second):
        torch.manual_seed(5)
        rewards.append(made.learn(rollout()))
    assert torch.equal(*rewards)


def test_a_gaussian_policy_gets_standardised_rewards() -> None:
    torch.manual_seed(3)
    head = Gaussian(torch.randn(20, 1), torch.ones(1), limit=2.0)
    seen = Rollout(
        torch.randn(20, 2), torch.randn(20, 1), head, torch.randn(20, 7), torch.randn(6, 4), [0.0]
    )
    expert = Demonstrations(torch.randn(30, 2), torch.randn(30, 1), [0.0])
    rewards = Leader("l2l", expert, numbers=1, gamma=0.9, lam=0.95).learn(seen)
    assert rewards.mean().item() == pytest.approx(0, abs=1e-5)
    assert rewards.std().item() == pytest.approx(1, abs=1e-4)

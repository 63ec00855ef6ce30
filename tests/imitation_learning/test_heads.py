"""The heads against torch's distributions, and against automatic differentiation."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical as Reference
from torch.distributions import Independent, Normal

from imitation_learning.heads import Categorical, Gaussian, Head


def head(kind: str, numbers: Tensor | None = None) -> Head:
    numbers = torch.randn(6, 3, dtype=torch.float64) if numbers is None else numbers
    if kind == "categorical":
        return Categorical(numbers)
    return Gaussian(numbers, torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64), limit=2.0)


def actions(kind: str) -> Tensor:
    return torch.randint(3, (6,)) if kind == "categorical" else torch.randn(6, 3).double()


def log_prob(kind: str, numbers: Tensor, taken: Tensor) -> Tensor:
    made = head(kind, numbers)
    if isinstance(made, Categorical):
        return Reference(logits=numbers).log_prob(taken)
    normal = Normal(numbers * made.deviation, made.deviation)
    return Independent(normal, 1).log_prob(taken)


KINDS = pytest.mark.parametrize("kind", ["categorical", "gaussian"])


@KINDS
def test_the_ratio_is_that_of_the_two_distributions(kind: str) -> None:
    made, taken, shift = head(kind), actions(kind), torch.randn(6, 3).double()
    before = log_prob(kind, made.numbers, taken)
    after = log_prob(kind, made.numbers + shift, taken)
    torch.testing.assert_close(made.log_ratio(taken, shift), after - before)


@KINDS
def test_the_score_is_the_gradient_of_the_log_probability(kind: str) -> None:
    made, taken = head(kind), actions(kind)
    numbers = made.numbers.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(log_prob(kind, numbers, taken).sum(), numbers)
    torch.testing.assert_close(made.score(taken), gradient)


@KINDS
def test_the_log_probability_differs_by_a_constant(kind: str) -> None:
    made, taken = head(kind), actions(kind)
    difference = made.log_prob(taken) - log_prob(kind, made.numbers, taken)
    torch.testing.assert_close(difference, difference[:1].expand(6))


def test_the_reward_gradient_is_that_of_the_expected_reward() -> None:
    table = torch.randn(6, 3, dtype=torch.float64)
    numbers = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    states = torch.arange(6.0, dtype=torch.float64)[:, None]

    def reward(states: Tensor, encoded: Tensor) -> Tensor:
        return (table[states[:, 0].long()] * encoded).sum(1)

    (gradient,) = torch.autograd.grad((numbers.softmax(1) * table).sum(), numbers)
    torch.testing.assert_close(
        Categorical(numbers.detach()).reward_gradient(reward, states), gradient
    )


def test_the_gradient_of_a_linear_reward_is_its_slope_in_deviations() -> None:
    made = head("gaussian", torch.zeros(6, 3, dtype=torch.float64))
    slope = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    gradient = made.reward_gradient(lambda _, encoded: encoded @ slope, torch.zeros(6, 1))
    expected = slope * torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64) / 2.0
    torch.testing.assert_close(gradient, expected.expand(6, 3))


def test_an_encoded_action_is_what_the_environment_executes() -> None:
    taken = torch.tensor([[3.0, -1.0, 0.0]]).double()
    assert head("gaussian").encode(taken).tolist() == [[1.0, -0.5, 0.0]]
    assert head("categorical").encode(torch.tensor([2])).tolist() == [[0.0, 0.0, 1.0]]

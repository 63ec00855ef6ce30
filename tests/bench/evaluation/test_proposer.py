"""The fast form of a model is the model: with its randomness, and in the arithmetic it records."""

import pytest
import torch
from torch import Tensor, nn

from bench.attacks.base import Slots
from bench.attacks.pgd import PGD
from bench.compute.random_streams import keys
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.proposer import Proposer, proposer
from bench.evaluation.settings import Settings
from bench.threats import Threat
from tests.bench.evaluation.test_evaluator import SHAPE, problem
from tests.toy import linear_model


class Noisy(nn.Module):
    """A model whose noise has a constant shape, so that a tracer takes a draw for a constant."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.inner, self.scale = linear_model(3, SHAPE), scale

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x + self.scale * torch.rand(1, *SHAPE))
        return logits


def test_attacks_query_new_draws_of_a_random_model() -> None:
    _, x, y = problem(16)
    evaluation = Evaluation(Noisy(0.02).eval(), x, y, None, Settings(threat="linf:0.05"))
    fast = evaluation.attacked.fast
    assert len({float(fast(x[:1])[0, 0]) for _ in range(5)}) == 5


def test_a_random_model_is_not_compiled() -> None:
    _, x, _ = problem(16)
    model = Noisy(0.02).eval()
    assert isinstance(proposer(model, x, compiled=True, random=True).network, Noisy)


class Valid(nn.Module):
    """A linear model that keeps the points it was given, if strict only those in [0, 1]."""

    def __init__(self, *, strict: bool) -> None:
        super().__init__()
        self.inner, self.strict, self.seen = linear_model(3, SHAPE), strict, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        if self.strict and (x.min() < 0 or x.max() > 1):
            raise ValueError("pixels outside [0, 1]")
        self.seen.append(x.detach())
        logits: Tensor = self.inner(x)
        return logits


@pytest.mark.parametrize("strict", [True, False])
def test_blurred_points_are_reflected_only_for_a_model_that_rejects_others(strict: bool) -> None:
    _, x, y = problem(16)
    model, threat = Valid(strict=strict), Threat.parse("linf:0.05")
    attack, queried = PGD(steps=3), Proposer(model).averaging(4, 0.05, x)
    slots = attack.start(Slots.fresh(x, y, y, keys(0, torch.arange(16), "test")), threat)
    model.seen.clear()
    queried.query(attack, slots)
    points = torch.cat(model.seen)
    assert len(points) == 4 * 16
    assert bool(((points < 0) | (points > 1)).any()) != strict
    offset = torch.cat(model.seen[1:]) - model.seen[0].repeat(3, 1, 1, 1)
    assert 0 < offset.abs().max() <= 0.05 + 1e-6


def test_the_arithmetic_that_auto_means_here_is_part_of_the_key() -> None:
    model, x, y = problem(16)
    keys, used = {}, ""
    for precision in ("fp32", "bf16", "auto"):
        settings = Settings(threat="linf:0.05", precision=precision)
        evaluation = Evaluation(model, x, y, None, settings)
        keys[precision], used = evaluation.key, evaluation.attacked.arithmetic[1]
    assert keys["fp32"] != keys["bf16"]
    assert keys["auto"] == keys[used]

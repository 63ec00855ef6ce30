"""Every recipe's learning rate, epoch by epoch, and its other settings, against its source."""

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from bench.plugins.registry import defenses, get_defense
from bench.training import Job
from bench.training.schedules import factor
from bench.training.start import RECIPES, recipes


@dataclass(frozen=True)
class Source:
    """Settings in a source. `rates` hold from an epoch on, epochs counted from 1; `knots` are those
    at the end of an epoch, with linear interpolation."""

    where: str
    epochs: int
    rates: dict[int, float] = dataclasses.field(default_factory=dict)
    knots: dict[float, float] = dataclasses.field(default_factory=dict)
    weight_decay: float = 5e-4
    batch_size: int = 128
    momentum: float = 0.9
    clip: float = 0.0

    def rate(self, epoch: int) -> float:
        """The learning rate in the middle of an epoch, counted from 1."""
        if self.rates:
            return self.rates[max(first for first in self.rates if first <= epoch)]
        middle = epoch - 0.5
        for (start, low), (end, high) in pairwise(self.knots.items()):
            if middle <= end:
                return low + (high - low) * (middle - start) / (end - start)
        raise AssertionError("the knots end too early")


IAD = Source("", 200, {1: 0.1, 101: 0.01}, weight_decay=2e-4)
SOURCES = {
    # Its schedule counts from 0: t / 200 < 0.5, then < 0.75.
    ("at", "paper"): Source(
        "locuslab/robust_overfitting@263b826 train_cifar.py", 200, {1: 0.1, 101: 0.01, 151: 0.001}
    ),
    # These five count from 1: epoch >= 75, and so on.
    ("trades", "paper"): Source(
        "yaodongyu/TRADES@6e8e11b train_trades_cifar10.py", 76, {1: 0.1, 75: 0.01}, {}, 2e-4
    ),
    ("trades", "awp"): Source(
        "csdongxian/AWP@00a8e85 trades_AWP/train_trades_cifar.py",
        200,
        {1: 0.1, 100: 0.01, 150: 0.001},
    ),
    ("mart", "paper"): Source(
        "YisenWang/MART@8f429e4 train_resnet.py",
        120,
        {1: 0.01, 75: 1e-3, 90: 1e-4, 100: 1e-5},
        weight_decay=3.5e-3,
    ),
    ("l2l", "paper"): Source(
        "YuyangShi/Learning-to-Defend-by-Learning-to-Attack@11296b9 train_l2l_1_cifar10.py",
        76,
        {1: 0.1, 30: 0.01, 60: 0.001},
        weight_decay=2e-4,
    ),
    ("cat", "paper"): Source(
        "liuxingbin/CAT@5e76271 train_cat.py", 200, {1: 0.1, 100: 0.01, 150: 0.001}
    ),
    ("mat", "cat"): Source(
        "liuxingbin/CAT@5e76271 train_cat.py", 200, {1: 0.1, 100: 0.01, 150: 0.001}
    ),
    ("mat", "paper"): Source("ours, that of at", 200, {1: 0.1, 101: 0.01, 151: 0.001}),
    ("fgsm-rs", "paper"): Source(
        "locuslab/fast_adversarial@1d94c4e CIFAR10/train_fgsm.py",
        15,
        knots={0: 0, 7.5: 0.2, 15: 0},
    ),
    ("free", "paper"): Source(
        "locuslab/fast_adversarial@54f7287 CIFAR10/train_free.py", 10, knots={0: 0, 5: 0.04, 10: 0}
    ),
    ("n-fgsm", "paper"): Source(
        "pdejorge/N-FGSM@15f5907 train.py", 30, knots={0: 0, 15: 0.2, 30: 0}
    ),
    ("gradalign", "paper"): Source(
        "tml-epfl/understanding-fast-adv-training@ceed494 train.py, utils.py",
        30,
        knots={0: 0, 12: 0.3, 30: 0},
    ),
    # Its code uses the rate of the next epoch, so that the last one has rate 0.
    ("msd", "paper"): Source(
        "locuslab/robust_union@0c28739 CIFAR10/train.py",
        50,
        knots={0: 0, 20: 0.1, 40: 0.005, 50: 0},
    ),
    # Its schedule counts from 0: t > 70. For batch-norm weights and biases see `defenses/e_at.py`.
    ("e-at", "paper"): Source(
        "uiuc-focal-lab/RAMP@fe257a2 run_eat_diff_eps_scratch.sh, utils.py",
        80,
        {1: 0.05, 71: 0.005},
    ),
    ("ramp", "paper"): Source(
        "uiuc-focal-lab/RAMP@fe257a2 RAMP_scratch_cifar10.sh, utils.py", 80, {1: 0.05, 71: 0.005}
    ),
    # Counts from 1, and lowers the rate at the end of an epoch.
    ("teacher-student", "paper"): Source(
        "zibojia/RSLAD@8960f13 resnet18_rslad_cifar10.py",
        300,
        {1: 0.1, 216: 0.01, 261: 0.001, 286: 1e-4},
        weight_decay=2e-4,
    ),
    # These count from 0.
    ("teacher-student", "adaad"): Source(
        "boyellow/AdaAD@fe97c3e main.py", 200, {1: 0.1, 101: 0.01, 151: 0.001}
    ),
    ("teacher-student", "ard"): dataclasses.replace(
        IAD, where="goldblum/AdversariallyRobustDistillation@8860f70 main.py"
    ),
    ("teacher-student", "iad1"): dataclasses.replace(IAD, where="ZFancy/IAD@2aaa20d IAD-I.py"),
    ("teacher-student", "iad2"): dataclasses.replace(IAD, where="ZFancy/IAD@2aaa20d IAD-II.py"),
}
each = pytest.mark.parametrize(("defense", "recipe"), SOURCES, ids=lambda name: name)


def settings(defense: str, recipe: str) -> dict[str, Any]:
    """The settings of a recipe, defaults included."""
    defaults = {item.name: item.default for item in dataclasses.fields(Job)}
    return defaults | recipes(get_defense(defense))[recipe]


def test_every_recipe_has_a_source() -> None:
    written = {(key, name) for key in defenses() for name in recipes(get_defense(key))}
    assert {(key, name) for key, name in written if name not in RECIPES} == SOURCES.keys()


@each
def test_its_learning_rate_is_that_of_its_source_in_every_epoch(defense: str, recipe: str) -> None:
    ours, source = settings(defense, recipe), SOURCES[defense, recipe]
    assert ours["epochs"] == source.epochs
    found = [
        ours["lr"] * factor(ours["schedule"], epoch + 0.5, ours["epochs"], ours["drops"])
        for epoch in range(source.epochs)
    ]
    expected = [source.rate(epoch) for epoch in range(1, source.epochs + 1)]
    assert found == pytest.approx(expected, rel=1e-6), source.where


@each
@pytest.mark.parametrize("name", ["batch_size", "momentum", "weight_decay", "clip"])
def test_its_optimiser_is_that_of_its_source(defense: str, recipe: str, name: str) -> None:
    source = SOURCES[defense, recipe]
    assert settings(defense, recipe)[name] == getattr(source, name), source.where


def test_adversarial_weight_perturbation_begins_in_the_tenth_epoch() -> None:
    # epoch >= 10, counted from 1, in the source; our option is the number of epochs without it.
    assert settings("trades", "awp")["awp_warmup"] == 9

"""Suites find the exact worst case, escalate if gradients are unreliable, and describe all
settings."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import evaluate
from bench.attacks.pgd import PGD
from bench.attacks.square import Square
from bench.errors import CrossfireError
from bench.evaluation import gates, suites
from bench.evaluation.description import describe
from bench.evaluation.outcome import Outcome
from bench.evaluation.queue import Column
from bench.losses import dlr, targeted_dlr
from bench.plugins.registry import Entry
from bench.threats import Norm, Threat
from leaderboard.schema import Finding
from tests.toy import exact_worst_case, images, is_flat_at_bound, linear_model

THREATS = "linf:0.05,l2:0.3,l1:1"
SHAPE = (1, 6, 6)
X = images(5, 40, SHAPE)


def run(model: nn.Module, suite: str, threat: str = THREATS, n: int = 40) -> Outcome:
    y = model(X[:n]).argmax(1)
    return evaluate(model.eval(), X[:n], y, threat=threat, suites=(suite,), precision="fp32")


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_crossfire_equals_the_exact_worst_case(classes: int) -> None:
    model = linear_model(3, SHAPE, classes)
    outcome = run(model, "crossfire")
    for (threat, _), column in outcome.columns.items():
        exact = exact_worst_case(model, X, model(X).argmax(1), Threat.parse(threat))
        sure = exact.abs() > 2e-3
        assert column.robust[sure].tolist() == (exact > 0)[sure].tolist(), threat


def test_the_scale_of_the_logits_changes_no_verdict() -> None:
    flags = []
    for scale in (1.0, 1e-4, 10.0):
        model = linear_model(3, SHAPE, 4)
        model.weight.mul_(scale)
        model.bias.mul_(scale)
        found = run(model, "crossfire", n=12)
        flags.append([column.robust.tolist() for column in found.columns.values()])
    assert flags[0] == flags[1] == flags[2]


class Clamped(nn.Module):
    """A linear model that clamps its images, a third of whose pixels are on the bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear_model(3, SHAPE, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x.clamp(0, 1))
        return logits


@pytest.mark.parametrize("suite", ["crossfire", "pgd-100"])
def test_a_clamp_on_the_images_changes_no_verdict(suite: str) -> None:
    models = (linear_model(3, SHAPE, 4), Clamped())
    plain, clamped = (run(model, suite, "linf:0.05,l1:1", 16) for model in models)
    assert [finding.id for finding in clamped.findings] == (["P12"] if is_flat_at_bound() else [])
    for pair, column in plain.columns.items():
        assert clamped.columns[pair].robust.tolist() == column.robust.tolist()


class Masked(nn.Module):
    """A linear model after a quantiser, with gradients that are unrelated to its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear_model(3, SHAPE, 4)

    def forward(self, x: Tensor) -> Tensor:
        steps = torch.floor(x * 12 + 0.5) / 12
        flat: Tensor = 1e-4 * torch.sin(40 * x).flatten(1)[:, :4]
        logits: Tensor = self.inner(steps.detach())
        return logits + flat


def test_masked_gradients_raise_the_alarm_and_start_the_escalation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gradients = (suites.Stage(PGD(steps=5, name=name)) for name in ("apgd-ce", "apgd-t", "fab"))
    short = (*gradients, suites.Stage(Square(queries=300)))
    monkeypatch.setattr(suites, "autoattack", lambda norm, classes: short)
    masked = run(Masked().eval(), "crossfire", "linf:0.1", 12)
    (column,) = masked.columns.values()
    names = suites.get("crossfire")("linf", 4)
    alarms = [i for i, stage in enumerate(names) if stage.alarm is not None]
    assert np.isin(column.by, alarms).any()
    assert "A8" in [finding.id for finding in masked.findings]
    assert column.robust.any()
    assert (column.forward[column.robust] > 50 + 300).all()


def test_a_finding_about_one_threat_starts_the_repair_under_that_threat_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def l2_only(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> list[Finding]:
        return [Finding("P10", "info", f"{threat}: steep", 9.0)] if threat.norm == "l2" else []

    monkeypatch.setattr(gates, "tangent", l2_only)
    outcome = run(linear_model(3, SHAPE, 4), "crossfire", "linf:0.05,l2:0.3", 12)
    ran = {
        threat: {outcome.attacks[threat, suite][number] for number in column.run}
        for (threat, suite), column in outcome.columns.items()
    }
    assert "margin-repaired" in ran["l2:0.3"]
    assert "margin-repaired" not in ran["linf:0.05"]


@pytest.mark.parametrize(("alarm", "raised"), [(0.1, True), (0.99, False)])
def test_a_second_stage_that_breaks_many_examples_starts_a_third(
    alarm: float, raised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = (
        suites.Stage(PGD(steps=1, step_size=0.0, random_start=False, name="blind")),
        suites.Stage(PGD(steps=20, name="second"), alarm=alarm),
        suites.Stage(Square(queries=5, name="third"), after=("second",)),
    )
    monkeypatch.setitem(suites._BUILT_IN, "crossfire", lambda norm, classes: stages)
    outcome = run(linear_model(3, SHAPE, 4), "crossfire", "linf:0.05", 12)
    (column,) = outcome.columns.values()
    assert (column.by == 1).sum() > 0.1 * (column.robust | (column.by == 1)).sum()
    passes_of_robust = column.forward[column.robust]
    assert (passes_of_robust >= 1 + 20 + 5).all() == raised
    messages = [finding.message for finding in outcome.findings if finding.id == "A16"]
    expected = ["linf:0.05: after an alarm third ran, and broke 0 more"]
    assert messages == (expected if raised else [])


def test_a_stage_is_alarmed_by_its_share_of_the_examples_robust_before_it() -> None:
    column = Column.of(np.array([False, True, True, True, True]), np.empty(5))
    column.by[2], column.robust[2] = 0, False
    column.by[3], column.robust[3] = 1, False
    assert column.alarmed(0, 0.2)
    assert not column.alarmed(0, 0.25)
    assert column.alarmed(1, 0.25)
    assert not column.alarmed(2, 0.0)


def test_an_ordinary_model_raises_no_alarm_and_is_not_escalated() -> None:
    outcome = run(linear_model(3, SHAPE, 4), "crossfire")
    assert [finding.id for finding in outcome.findings] == []
    assert all(int(column.by.max()) < 2 for column in outcome.columns.values())


def test_a_suite_describes_every_setting_of_its_attacks() -> None:
    stages = suites.get("autoattack")("l1", 10)
    plain = describe(stages)
    assert [part["attack"]["name"] for part in plain] == [p.attack.name for p in stages]
    assert plain[0]["restarts"] == 5
    assert plain[1]["targets"] == 5
    assert plain[0]["attack"]["steps"] == 100


def test_the_reference_is_a_suite_and_agrees_with_crossfire_on_a_linear_model() -> None:
    outcome = run(linear_model(3, SHAPE, 4), "autoattack-reference", "linf:0.05", 12)
    ours = run(linear_model(3, SHAPE, 4), "crossfire", "linf:0.05", 12)
    (theirs,), (mine,) = outcome.columns.values(), ours.columns.values()
    assert theirs.robust.tolist() == mine.robust.tolist()
    assert theirs.forward.sum() > 10 * mine.forward.sum()


def test_the_dlr_losses_are_those_of_the_paper() -> None:
    z, y = torch.tensor([[5.0, 3.0, 1.0, 0.0]]), torch.tensor([0])
    assert dlr(z, y).item() == pytest.approx(-(5 - 3) / (5 - 1))
    target = torch.tensor([2])
    assert targeted_dlr(z, y, target).item() == pytest.approx(-(5 - 1) / (5 - (1 + 0) / 2))


@pytest.mark.parametrize("suite", ["autoattack", "autoattack-rand"])
def test_the_suites_of_autoattack_equal_the_exact_worst_case(
    suite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "Square", partial(Square, queries=50))
    model = linear_model(3, SHAPE, 4)
    (column,) = run(model, suite, "linf:0.05", 8).columns.values()
    exact = exact_worst_case(model, X[:8], model(X[:8]).argmax(1), Threat.parse("linf:0.05"))
    sure = exact.abs() > 3e-3
    assert column.robust[sure].tolist() == (exact > 0)[sure].tolist()


class Needy:
    def __init__(self, steps: int) -> None:
        pass


@pytest.mark.parametrize("kind", ["suites", "attacks"])
def test_a_plugins_suite_that_fails_is_an_error_of_one_line(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(norm: str, classes: int) -> tuple[suites.Stage, ...]:
        raise KeyError(norm)

    offered = {"mine": Entry("mine", "a package", lambda: fails if kind == "suites" else Needy)}
    monkeypatch.setattr(suites, "plugins", lambda asked: offered if asked == kind else {})
    with pytest.raises(CrossfireError, match=r"suite 'mine' fails for l2 and 10 classes \("):
        suites.get("mine")("l2", 10)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("classes", [2, 10])
def test_each_stage_of_autoattack_is_a_suite_of_its_own(norm: Norm, classes: int) -> None:
    whole = suites.get("autoattack")(norm, classes)
    alone = [suites.get(stage.attack.name)(norm, classes) for stage in whole]
    assert alone == [(stage,) for stage in whole]


def test_pgd_may_have_any_number_of_steps_and_pgd_100_is_the_published_one() -> None:
    (published,) = suites.get("pgd-100")("linf", 10)
    assert published.attack == PGD(steps=100, step_size=0.25, until_cycle=True, name="pgd-100")
    for steps in (1, 20, 1000):
        (stage,) = suites.get(f"pgd-{steps}")("linf", 10)
        other = replace(published.attack, steps=steps, name=f"pgd-{steps}")
        assert stage == suites.Stage(other)


@pytest.mark.parametrize("name", ["pgd", "pgd-N", "pgd-0", "pgd-020", "pgd-1.5", "pgd--1"])
def test_a_number_of_steps_that_is_none_is_an_error(name: str) -> None:
    with pytest.raises(CrossfireError, match=f"unknown suite '{name}'; did you mean 'pgd-"):
        suites.get(name)

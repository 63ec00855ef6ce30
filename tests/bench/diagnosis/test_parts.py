"""The quantities behind the checks, on cases with known values."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench import losses
from bench.attacks.pgd import PGD
from bench.diagnosis import optimisation
from bench.diagnosis.active import features_of
from bench.diagnosis.gradients import (
    gradient_checks,
    reflected,
    scale,
    wrong_derivatives,
    zero_gradients,
)
from bench.diagnosis.optimisation import everything, falling, incomplete, rescaled, unbroken
from bench.diagnosis.other_attacks import other_attack_checks
from bench.diagnosis.rules import RULES, Rule
from bench.diagnosis.subject import Effort, Subject, follow
from bench.threats import NORMS, Threat
from tests.toy import images, linear_model

TIME = torch.linspace(0, 1, 101)
LINE, KNEE = TIME, (10 * TIME).clamp_max(1.0)
ZIGZAG = TIME % 0.02
CURVES = torch.stack([LINE, KNEE, ZIGZAG], 1)


def test_a_loss_that_still_rises_is_incomplete_and_has_no_break_point() -> None:
    assert incomplete(rescaled(CURVES)).tolist()[:2] == [True, False]
    assert unbroken(rescaled(CURVES)).tolist()[:2] == [True, False]


def test_losses_are_rescaled_to_the_unit_interval_and_constant_ones_are_zero() -> None:
    scaled = rescaled(torch.stack([5 + 3 * LINE, torch.full((101,), 7.0)], 1))
    torch.testing.assert_close(scaled[:, 0], LINE)
    assert not scaled[:, 1].any()


def test_a_loss_falls_if_most_of_its_variation_is_downwards() -> None:
    assert falling(torch.stack([-LINE, LINE], 1)).tolist() == [True, False]


@pytest.mark.parametrize("norm", NORMS)
def test_the_unbounded_threat_allows_every_image(norm: str) -> None:
    threat = everything(Threat.parse(f"{norm}:0.1"), pixels=36)
    assert threat.eps >= {"linf": 1, "l2": 6, "l1": 36}[norm]


def test_points_outside_the_box_are_reflected() -> None:
    mirrored = reflected(torch.tensor([[-0.25], [0.5], [1.25]]))
    assert mirrored.flatten().tolist() == [0.25, 0.5, 0.75]


class Negated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return -gradient


class Changed(nn.Module):
    def __init__(self, factor: float = 1.0, negated: bool = False) -> None:
        super().__init__()
        self.inner, self.factor, self.negated = linear_model(0, classes=3), factor, negated

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.inner(Negated.apply(x) if self.negated else x)


def subject(model: nn.Module) -> Subject:
    x = images(0, 12)
    return Subject.of(model, x, model(x).argmax(1), Threat.parse("linf:0.1"))


@pytest.mark.parametrize("negated", [False, True])
def test_gradients_are_compared_with_finite_differences(negated: bool) -> None:
    some = subject(Changed(negated=negated))
    point = some.x.clone().requires_grad_()
    logits = some.model(point).topk(2).values
    (gradient,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), point)
    assert wrong_derivatives(some, gradient) == float(negated)


def test_the_scale_of_logits_is_measured_by_their_margins() -> None:
    assert scale(subject(Changed())) == 0
    assert scale(subject(Changed(1e6))) > 0.9
    assert scale(subject(Changed(1e-6))) == 1
    assert zero_gradients(subject(Changed(1e6))) > 0.9


def test_features_are_the_input_of_the_last_linear_layer_or_else_the_logits() -> None:
    x = images(0, 4)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, 3))
    features, where = features_of(layers, x)
    assert where == "features"
    torch.testing.assert_close(features(x), layers[:3](x))
    toy = linear_model(0)
    features, where = features_of(toy, x)
    assert where == "logits"
    torch.testing.assert_close(features(x), toy(x))


def test_a_rule_states_its_thresholds_and_gives_advice_unless_it_passes() -> None:
    rule = Rule("X", "name", "someone", 0.01, 0.05, "correct it")
    assert rule.threshold == "warn > 1 %, fail > 5 %"
    verdicts = [rule.found(value) for value in (0.01, 0.02, 0.06)]
    assert [check.verdict for check in verdicts] == ["pass", "warn", "fail"]
    assert [check.advice for check in verdicts] == ["", "correct it", "correct it"]
    assert [rule.counted(count, 10).verdict for count in (0, 2, 3)] == ["pass", "warn", "fail"]
    assert rule.counted(2, 10).threshold == "warn > 1 %, fail > 5 %, from 3 images"
    assert rule.skipped("why").verdict == "n/a"
    assert all(rule.id == id_ for id_, rule in RULES.items())


class Strict(nn.Module):
    """A linear model of images in [0, 1], which it clamps or else insists on."""

    def __init__(self, *, clamping: bool) -> None:
        super().__init__()
        self.inner, self.clamping = linear_model(0, classes=3), clamping

    def forward(self, x: Tensor) -> Tensor:
        if not self.clamping and (x.min() < 0 or x.max() > 1):
            raise ValueError("pixels outside [0, 1]")
        logits: Tensor = self.inner(x.clamp(0, 1))
        return logits


@pytest.mark.parametrize("clamping", [True, False])
def test_derivatives_are_measured_inside_the_box(clamping: bool) -> None:
    some = subject(Strict(clamping=clamping))
    binary = replace(some, x=some.x.round())
    x = binary.x.clone().requires_grad_()
    loss = losses.margin(linear_model(0, classes=3)(x), some.y).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    assert wrong_derivatives(binary, gradient) == 0
    assert wrong_derivatives(binary, -gradient) == 1


class Flat(nn.Module):
    """A linear model without gradient at some images (n, c, h, w)."""

    def __init__(self, where: Tensor) -> None:
        super().__init__()
        self.inner, self.where = linear_model(0, classes=3), where

    def forward(self, x: Tensor) -> Tensor:
        flat = (x[:, None] == self.where).flatten(2).all(2).any(1)
        return torch.where(flat[:, None], self.inner(x).detach(), self.inner(x))


@pytest.mark.parametrize(("count", "verdict"), [(2, "warn"), (3, "fail")])
def test_a_share_of_images_fails_from_three_images_on(
    count: int, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_reversal", "_unbounded"):
        monkeypatch.setattr(optimisation, name, lambda _: count / 12)
    some = subject(Flat(images(0, 12)[:count]))
    path = follow(some, PGD(steps=20))
    checks = (*gradient_checks(some), *optimisation.optimisation_checks(some, path))
    found = {check.id: check.verdict for check in checks}
    assert [found[id_] for id_ in ("P7", "A9", "A10")] == [verdict] * 3


def test_every_other_attack_reports_what_it_breaks() -> None:
    model, x = linear_model(0, classes=3), images(0, 12)
    effort = Effort(queries=50, targets=1, draws=20, remaining=12, search=20, averaged=3)
    everything_allowed = Threat.parse("linf:1")
    subject = Subject.of(model, x, model(x).argmax(1), everything_allowed, effort=effort)
    claimed = torch.ones(len(subject), dtype=torch.bool)
    found = {check.id: check.verdict for check in other_attack_checks(subject, claimed, model)}
    assert found == dict.fromkeys(found, "fail")
    assert {"A5", "A6", "A7", "A8", "A11", "A12", "R1", "R2", "R3"} <= found.keys()

"""The adapter of pyautoattack works around its defects and undoes its side effects."""

import sys

import pytest
import torch

from bench.attacks.apgd import APGD
from bench.attacks.apgd_l1 import SparseAPGD
from bench.attacks.objectives import objective_for
from bench.attacks.reference import autoattack_reference
from bench.threats import NORMS, Norm, Threat
from tests.toy import exact_worst_case, images, linear_model
from tests.walk import fresh, least_margins, target_classes, walk

WEAK = {"linf": "0.3", "l2": "3", "l1": "12"}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_it_breaks_every_example_with_any_number_of_classes(norm: Norm, classes: int) -> None:
    model, x = linear_model(1, classes=classes), images(2, 6)
    y, threat = model(x).argmax(1), Threat.parse(f"{norm}:{WEAK[norm]}")
    points = autoattack_reference(model, x, y, threat)
    assert bool((exact_worst_case(model, x, y, threat) < 0).all())
    assert bool((model(points).argmax(1) != y).all())


def test_it_accepts_images_that_are_not_contiguous() -> None:
    model, x = linear_model(1, (3, 6, 6)), images(2, 4, (3, 6, 6))
    strided = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    threat = Threat.parse("l2:3")
    y = model(x).argmax(1)
    assert torch.equal(
        autoattack_reference(model, strided, y, threat), autoattack_reference(model, x, y, threat)
    )


def test_it_leaves_random_state_gradients_and_trace_function_unchanged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 2))
    x = images(2, 3)
    model[1].weight.grad = torch.ones(2, 36)
    before, tracer = torch.random.get_rng_state(), sys.gettrace()
    autoattack_reference(model, x, model(x).argmax(1), Threat.parse("linf:0.3"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert sys.gettrace() is tracer
    assert torch.equal(model[1].weight.grad, torch.ones(2, 36))
    assert model[1].bias.grad is None
    assert capfd.readouterr() == ("", "")


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(128, 4)
    ).eval()


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.02), ("l2", 0.12), ("l1", 0.4)])
def test_its_gradient_attacks_break_nothing_that_our_auto_pgd_leaves(
    norm: Norm, eps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyautoattack.autoattack.SquareAttack.perturb", lambda self, x, y: x)
    model, x = small_network().requires_grad_(False), images(3, 40)
    y, threat = model(x).argmax(1), Threat.parse(f"{norm}:{eps}")
    objective = objective_for(4, targeted=True)
    attack = SparseAPGD(objective, steps=50) if norm == "l1" else APGD(objective, steps=50)
    margins = [
        least_margins(model, walk(model, attack, fresh(x, y, target), threat), threat)
        for target in target_classes(model, x, y).T
    ]
    left = torch.stack(margins).amin(0) > 0
    assert 8 <= int(left.sum()) <= 32
    x, y = x[left][:3], y[left][:3]
    assert bool((model(autoattack_reference(model, x, y, threat)).argmax(1) == y).all())

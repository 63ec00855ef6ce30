"""A repaired model has the model's outputs, and gradients where the model's vanish."""

from threading import Lock

import pytest
import torch
from torch import Tensor, nn

from bench.attacks.base import Slots
from bench.attacks.pgd import PGD
from bench.evaluation.proposer import Proposer
from bench.evaluation.repair import Inset, repaired
from tests.toy import images, linear_model
from tests.walk import fresh

SHAPE = (1, 6, 6)
X = images(5, 4, SHAPE)


class Behind(nn.Module):
    """A linear model with a function before it and a softmax after it."""

    def __init__(self, before: str, temperature: float = 0.0) -> None:
        super().__init__()
        self.inner, self.before, self.temperature = linear_model(3, SHAPE, 4), before, temperature

    def forward(self, x: Tensor) -> Tensor:
        stepped = {
            "floor": lambda: torch.floor(7 * x) / 7,
            "round": lambda: (7 * x).round() / 7,
            "clamp": lambda: x.clamp(0.4, 0.6),
            "hardtanh": lambda: nn.functional.hardtanh(x, 0.4, 0.6),
            "by keyword": lambda: torch.clamp(input=x, min=0.4, max=0.6),
            "nothing": lambda: x,
        }[self.before]()
        logits: Tensor = self.inner(stepped)
        return (logits / self.temperature).softmax(1) if self.temperature else logits


class Rectified(nn.Module):
    """A rectifier that is written as a clamp."""

    def forward(self, z: Tensor) -> Tensor:
        return z.clamp(min=0)


def gradient(model: nn.Module, probabilities: bool) -> Tensor:
    logits, dtype = repaired(model.eval(), X, probabilities=probabilities)
    point = X.to(dtype).requires_grad_()
    outputs = logits(point)
    (found,) = torch.autograd.grad((outputs[:, 1] - outputs[:, 0]).sum(), point)
    return found


@pytest.mark.parametrize("before", ["floor", "round", "clamp", "hardtanh", "by keyword"])
def test_rounding_and_clamps_keep_their_values_and_pass_gradients_on(before: str) -> None:
    model = Behind(before)
    logits, dtype = repaired(model, X, probabilities=False)
    assert torch.allclose(logits(X.to(dtype)).float(), model(X), atol=1e-5)
    assert torch.allclose(gradient(model, False), gradient(Behind("nothing"), False))


def test_a_clamp_of_another_shape_than_the_images_keeps_its_gradient() -> None:
    rectified = nn.Sequential(linear_model(3, SHAPE, 4), Rectified())
    assert bool((rectified(X) == 0).any())
    point = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad((z := rectified(point))[:, 1].sum() - z[:, 0].sum(), point)
    assert torch.equal(gradient(rectified, False), expected)


def test_probabilities_that_saturate_in_float32_become_logits() -> None:
    sharp = Behind("nothing", temperature=3e-3)
    assert bool((sharp(X).max(1).values == 1).all())
    expected = gradient(Behind("nothing"), False).double() / 3e-3
    assert torch.allclose(gradient(sharp, True), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "probabilities", "dtype"),
    [
        (Behind("floor"), False, torch.float32),
        (Behind("nothing", temperature=1.0), True, torch.float32),
        (Behind("nothing", temperature=3e-3), True, torch.float64),
    ],
)
def test_only_gradients_that_float32_loses_are_computed_in_float64(
    model: nn.Module, probabilities: bool, dtype: torch.dtype
) -> None:
    assert repaired(model.eval(), X, probabilities=probabilities)[1] == dtype


class InFloat32(nn.Module):
    """A linear model that runs in float32 only."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ torch.ones(36, 4)


def test_a_model_that_does_not_run_in_float64_is_repaired_in_float32() -> None:
    logits, dtype = repaired(InFloat32().eval(), X, probabilities=False)
    assert dtype == torch.float32
    assert torch.equal(logits(X), InFloat32()(X))


def test_a_model_that_cannot_be_copied_is_repaired_as_it_is() -> None:
    model = Behind("floor")
    model.lock = Lock()
    logits, dtype = repaired(model.eval(), X, probabilities=False)
    assert dtype == torch.float32
    assert torch.equal(logits(X), model(X))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_an_inset_model_has_a_gradient_on_the_bounds(dtype: torch.dtype) -> None:
    point = torch.tensor([[0.0, 0.25, 1.0]], dtype=dtype, requires_grad=True)
    logits = Inset(lambda x: x.clamp(0, 1))(point)
    (gradient,) = torch.autograd.grad(logits.sum(), point)
    assert gradient.tolist() == [[1, 1, 1]]
    assert torch.allclose(logits, point, atol=2**-8)
    assert logits[0, 1] == point[0, 1]


def test_the_model_itself_is_unchanged() -> None:
    model = Behind("floor")
    repaired(model, X, probabilities=False)
    assert model.inner.weight.dtype == torch.float32
    assert not bool((model(X) != Behind("floor")(X)).any())


class Rippled(nn.Module):
    """A line of slope 1 plus a ripple that is much steeper."""

    def forward(self, x: Tensor) -> Tensor:
        rising = (x + 0.004 * torch.sin(800 * x)).flatten(1).sum(1)
        return torch.stack([-rising, rising], 1)


def test_averaged_gradients_are_those_without_a_ripple() -> None:
    y = torch.zeros(4, dtype=torch.int64)
    slots: Slots = fresh(X, y, y + 1)
    attack = PGD(steps=5, random_start=False)

    def slopes(proposer: Proposer) -> Tensor:
        return proposer.query(attack, slots).ascent.sign()

    alone, many = Proposer(Rippled()), Proposer(Rippled(), repeats=64, blur=0.05)
    assert (slopes(alone) > 0).float().mean() < 0.9
    assert (slopes(many) > 0).float().mean() > 0.95
    assert torch.equal(many.query(attack, slots).logits, alone.query(attack, slots).logits)

"""Models that can't be evaluated are refused; models with signs of gradient masking are flagged."""

import pytest
import torch
from torch import Tensor, nn

from bench.evaluation import gates
from bench.evaluation.gates import Refusal, preflight
from bench.threats import Threat
from tests.toy import images, is_flat_at_bound, linear_model

SHAPE = (1, 6, 6)
X = images(0, 16, SHAPE)
INNER = linear_model(0, SHAPE, 5)
Y = INNER(X).argmax(1)


class Wrapped(nn.Module):
    """A model whose forward is a function."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)  # type: ignore[operator, no-any-return]


def refused(model: nn.Module, x: Tensor = X) -> str:
    with pytest.raises(Refusal) as caught:
        preflight(model.eval(), x, Y)
    return str(caught.value)


def ids(model: nn.Module) -> list[str]:
    return [finding.id for finding in preflight(model.eval(), X, Y)]


def test_a_plain_model_has_no_findings() -> None:
    assert preflight(INNER, X, Y) == []


def test_p1_refuses_logits_that_are_not_finite() -> None:
    assert "P1" in refused(Wrapped(lambda x: INNER(x) * torch.nan))


@pytest.mark.parametrize(("scale", "shift"), [(255.0, 0.0), (2.0, -1.0), (4.0, -2.0)])
def test_p2_refuses_images_outside_the_unit_box(scale: float, shift: float) -> None:
    assert "P2" in refused(INNER, X * scale + shift)


def test_p3_refuses_a_model_in_train_mode() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), INNER).train()
    with pytest.raises(Refusal, match=r"P3.*model\.eval\(\)"):
        preflight(model, X, Y)


def test_p4_flags_a_model_with_random_outputs() -> None:
    assert "P4" in ids(Wrapped(lambda x: INNER(x + 0.1 * torch.randn_like(x))))


def test_p5_refuses_a_model_whose_logits_depend_on_the_batch() -> None:
    assert "P5" in refused(Wrapped(lambda x: INNER(x - x.mean(0))))
    alone = images(0, 1)
    with pytest.raises(Refusal, match="P5"):
        preflight(Wrapped(lambda x: INNER(x - x.mean(0) / 2)), alone, torch.zeros(1).long())


def test_p5_refuses_batch_norm_that_stays_in_train_mode() -> None:
    norm = nn.BatchNorm2d(1, track_running_stats=False)
    assert "P5" in refused(nn.Sequential(norm, INNER))


def test_p6_flags_probabilities() -> None:
    assert "P6" in ids(Wrapped(lambda x: INNER(x).softmax(1)))


def test_p7_flags_gradients_that_are_exactly_zero() -> None:
    assert "P7" in ids(Wrapped(lambda x: INNER(x) * 1e6))


def test_p8_refuses_a_model_through_which_no_gradient_flows() -> None:
    assert "P8" in refused(Wrapped(lambda x: INNER(x.detach())))
    assert "P8" in refused(Wrapped(lambda x: INNER((x * 8).round().detach() / 8)))


def test_p8_refuses_a_model_whose_backward_fails() -> None:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            raise KeyError("no backward")

    assert "P8" in refused(Wrapped(lambda x: INNER(Broken.apply(x))))


ON_THE_BOUND = {
    "clamp": lambda x: x.clamp(0, 1),
    "relu": lambda x: torch.relu(x),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "root": lambda x: x.sqrt().square(),
}


@pytest.mark.parametrize("before", ON_THE_BOUND)
def test_p12_finds_pixels_that_have_no_gradient_on_the_bound(before: str) -> None:
    if before == "clamp" and not is_flat_at_bound():
        pytest.skip("the clamp of older versions of torch has a gradient there")
    model = Wrapped(lambda x: INNER(ON_THE_BOUND[before](x)))
    (finding,) = preflight(model.eval(), X, Y)
    assert (finding.id, finding.gate) == ("P12", "info")
    binary = X.round()
    assert [f.id for f in preflight(model.eval(), binary, INNER(binary).argmax(1))] == ["P12"]


THRESHOLDS = {
    "clamp": lambda x: x.clamp(0.2, 0.8),
    "relu": lambda x: torch.relu(x - 0.2),
    "where": lambda x: torch.where(x > 0.2, x, 0.0),
}


@pytest.mark.parametrize("before", THRESHOLDS)
def test_p13_finds_pixels_that_have_no_gradient_on_one_side_of_a_threshold(before: str) -> None:
    (finding,) = preflight(Wrapped(lambda x: INNER(THRESHOLDS[before](x))).eval(), X, Y)
    assert (finding.id, finding.gate) == ("P13", "info")
    assert gates.misleading([finding])


@pytest.mark.parametrize("taken", ["grad", "backward"])
def test_p11_flags_a_model_that_computes_gradients_in_its_forward_pass(taken: str) -> None:
    def purified(x: Tensor) -> Tensor:
        with torch.enable_grad():
            point = x.detach().clone().requires_grad_()
            spread = INNER(point).square().sum()
            if taken == "grad":
                (gradient,) = torch.autograd.grad(spread, point)
            else:
                spread.backward()
                gradient = point.grad
        return INNER(x + 0.01 * gradient)

    original = torch.autograd.grad
    (finding,) = preflight(Wrapped(purified).eval(), X, Y)
    assert (finding.id, finding.gate, finding.value) == ("P11", "flag", 1.0)
    assert gates.misleading([finding])
    assert torch.autograd.grad is original


def test_p12_and_p13_do_not_find_pixels_that_the_model_ignores() -> None:
    mask = torch.ones(SHAPE)
    mask[:, 2:4] = 0
    assert ids(Wrapped(lambda x: INNER(x * mask))) == []


def test_p13_does_not_count_images_without_any_gradient() -> None:
    slopes, in_noise = torch.ones(2, *SHAPE), torch.ones(2, *SHAPE)
    slopes[0] = 0
    assert list(gates.plateaus(slopes, in_noise)) == []


def test_p9_refuses_labels_without_a_logit_and_reports_few_classes() -> None:
    assert "P9" in refused(linear_model(0, SHAPE, 2))
    few = linear_model(0, SHAPE, 3)
    assert [f.id for f in preflight(few, X, few(X).argmax(1))] == ["P9"]


def test_a_model_for_images_of_another_shape_is_refused_in_one_line() -> None:
    message = refused(nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten()))
    assert "does not accept images (1, 6, 6)" in message
    assert "\n" not in message


@pytest.mark.parametrize("error", [IndexError, AssertionError, KeyError])
def test_any_error_of_the_model_is_a_refusal_with_its_reason(error: type[Exception]) -> None:
    def fail(x: Tensor) -> Tensor:
        raise error("of size 224")

    message = refused(Wrapped(fail))
    assert "does not accept images (1, 6, 6)" in message
    assert error.__name__ in message
    assert "224" in message


def test_a_model_that_changes_its_images_is_refused() -> None:
    given = X.clone()
    assert "not x -= mean" in str(refused(Wrapped(lambda x: INNER(x.sub_(0.5))), given))


def test_an_info_finding_does_not_end_the_evaluation() -> None:
    gates.refuse(list(gates.class_count(3, torch.zeros(1, dtype=torch.int64))))


LINF = Threat.parse("linf:0.1")


def test_p10_has_no_finding_on_ordinary_models_at_any_scale_of_the_logits() -> None:
    for scale in (1e-4, 1.0, 1e3):
        model = Wrapped(lambda x, scale=scale: INNER(x) * scale)
        for threat in (LINF, Threat.parse("l2:0.3"), Threat.parse("l1:1")):
            assert list(gates.tangent(model, X, Y, threat)) == []


@pytest.mark.parametrize(
    "masked",
    [
        lambda x: INNER((7 * x).round() / 7 + 1e-4 * torch.sin(60 * x)),
        lambda x: 10 * torch.tanh(INNER(20 * x)),
        lambda x: (200 * INNER(x)).double().softmax(1),
    ],
    ids=["ripples", "saturation", "probabilities"],
)
def test_p10_finds_unreliable_gradients(masked: object) -> None:
    (finding,) = gates.tangent(Wrapped(masked), X, Y, LINF)
    assert (finding.id, finding.gate) == ("P10", "info")


@pytest.mark.parametrize(
    ("masked", "id_"),
    [
        (lambda x: INNER(x + 0.1 * torch.randn_like(x)), "P4"),
        (lambda x: INNER(x).softmax(1), "P6"),
        (lambda x: INNER(x) * 1e6, "P7"),
    ],
)
def test_unreliable_gradients_cost_the_rank_and_start_the_escalation(
    masked: object, id_: str
) -> None:
    (finding,) = [f for f in preflight(Wrapped(masked).eval(), X, Y) if f.id == id_]
    assert finding.gate == "flag"
    assert gates.misleading([finding])

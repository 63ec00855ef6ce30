"""How a stage queries the model, in which arithmetic, and from which points it starts."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from bench import evaluate
from bench.attacks.base import Slots
from bench.attacks.pgd import PGD
from bench.compute import precision
from bench.evaluation import suites
from bench.evaluation.attacked import AttackedModel, checked
from bench.evaluation.judge import Judge
from bench.evaluation.settings import Settings
from bench.evaluation.suites import Stage
from bench.threats import Threat
from tests.bench.evaluation.test_evaluator import SHAPE, problem
from tests.toy import linear_model

THREAT = Threat.parse("linf:0.05")


def attacked(model: nn.Module, **settings: str) -> AttackedModel:
    _, x, y = problem(16)
    chosen = Settings(threat=THREAT, **{"precision": "fp32", **settings})  # type: ignore[arg-type]
    return checked(model.eval(), x, y, (THREAT,), chosen)


def largest_gradient(model: AttackedModel, stage: Stage) -> float:
    x = problem(16)[1].requires_grad_()
    (gradient,) = torch.autograd.grad(model.proposer(stage)(x)[:, 0].sum(), x)
    return float(gradient.abs().max())


class Rounded(nn.Module):
    """A linear model of rounded images, without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear_model(3, SHAPE)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner((7 * x).round() / 7)
        return logits


def test_a_stage_queries_the_model_as_often_blurred_or_repaired_as_it_says() -> None:
    model = attacked(Rounded())
    plain, averaged = Stage(PGD()), Stage(PGD(), repeats=4, blur=0.1)
    assert (model.proposer(plain).repeats, model.proposer(plain).blur) == (1, 0.0)
    assert (model.proposer(averaged).repeats, model.proposer(averaged).blur) == (4, 0.1)
    assert largest_gradient(model, plain) == 0
    assert largest_gradient(model, Stage(PGD(), repair=True)) > 0


@pytest.fixture
def fast_bf16() -> Iterator[None]:
    """A processor that multiplies bf16 faster than float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "_cpu_multiplies_bf16_faster", lambda: True)
        yield


@pytest.mark.usefixtures("fast_bf16")
def test_auto_is_float32_where_the_checks_found_gradients_unreliable() -> None:
    sound = linear_model(3, SHAPE)
    assert attacked(sound, precision="auto").arithmetic[1] == "bf16"
    probabilities = nn.Sequential(sound, nn.Softmax(1))
    assert attacked(probabilities, precision="auto").arithmetic[1] == "fp32"


class Fraction(nn.Module):
    """The digits of a number after the third, which bf16 does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return (1000 * x) % 1


def test_a_form_in_bf16_that_disagrees_with_the_model_is_not_used() -> None:
    inner = linear_model(3, SHAPE)
    assert attacked(inner, precision="bf16").arithmetic[1] == "bf16"
    assert attacked(nn.Sequential(inner, Fraction()), precision="bf16").arithmetic[1] == "fp32"


class Watching(nn.Module):
    """A linear model that notes the precision of products of matrices in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = linear_model(3, SHAPE), set[tuple[str, bool]]()

    def forward(self, x: Tensor) -> Tensor:
        tf32 = torch.backends.cudnn.allow_tf32
        self.seen.add((torch.get_float32_matmul_precision(), tf32))
        logits: Tensor = self.inner(x)
        return logits


def test_the_judge_computes_without_tf32_and_leaves_the_setting_of_the_program() -> None:
    model, x = Watching(), problem(4)[1]
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.allow_tf32 = True
        Judge(model).logits(x)
        after = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
    assert model.seen == {("highest", False)}
    assert after == ("medium", True)


def starts(seed: int, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The first points of three restarts on six examples, (18, c, h, w)."""
    first = list[Tensor]()

    class Recording(PGD):
        def start(self, slots: Slots, threat: Threat) -> Slots:
            begun = super().start(slots, threat)
            first.append(begun.point)
            return begun

    stage = Stage(Recording(steps=1, step_size=0.0), restarts=3)
    monkeypatch.setitem(suites._BUILT_IN, "recording", lambda norm, classes: (stage,))
    model, x, _ = problem(6)
    y = model(x).argmax(1)
    evaluate(model, x, y, threat="linf:1e-3", suites=("recording",), seed=seed, precision="fp32")
    return torch.cat(first)


def test_every_restart_and_every_seed_starts_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = starts(0, monkeypatch), starts(1, monkeypatch)
    assert len(one) == len(other) == 18
    assert len({tuple(point.flatten().tolist()) for point in torch.cat([one, other])}) == 36
    assert torch.equal(one, starts(0, monkeypatch))

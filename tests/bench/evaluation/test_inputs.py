"""What an evaluation takes, and what it refuses in one line."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import evaluate
from bench.errors import CrossfireError
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.settings import Settings
from bench.models import Normalize
from bench.models.checkpoint import weights_sha256
from bench.threats import Threat
from tests.bench.evaluation.test_evaluator import SHAPE, flags, problem, run
from tests.toy import images, linear_model


def refused(**changes: Any) -> str:  # noqa: ANN401
    """The message about an evaluation with other images, labels or settings."""
    model, x, y = problem(8)
    given = {"model": model, "images": x, "labels": y, "threat": "linf:0.05", "display": "none"}
    with pytest.raises(CrossfireError) as caught:
        evaluate(**(given | changes))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_an_evaluation_cannot_take_is_refused_with_what_to_give_instead() -> None:
    _, x, y = problem(8)
    assert "give a torch.nn.Module" in refused(model=lambda x: x)
    assert "give a tensor" in refused(images=x.numpy())
    assert "uint8 or float32" in refused(images=x > 0.5)
    assert "n > 0" in refused(images=x[:0], labels=y[:0])
    assert "give raw pixels in [0, 1]" in refused(images=x * torch.nan)
    assert "give raw pixels in [0, 1]" in refused(images=3 * x - 1)
    assert "divide them by 255" in refused(images=255 * x)
    assert "labels are torch.float32" in refused(labels=y.float())
    assert "labels begin at -1" in refused(labels=y - 1)
    assert "one for each of the 8 images" in refused(labels=y[:5])
    assert "labels have shape (8, 1)" in refused(labels=y[:, None])
    assert "numbers have shape (3,)" in refused(numbers=torch.arange(3))
    assert "give a tuple" in refused(suites="pgd-100")
    assert "give a tuple" in refused(suites=())
    assert "threat is 0.1; give" in refused(threat=0.1)
    assert "threat is (); give" in refused(threat=())
    assert "name one twice" in refused(suites=("pgd-100", "pgd-100"))
    for end in ("low", "high"):
        names = ("mine.py:pgd", f"mine.py:pgd_{end}")
        assert f"'{names[1]}' is called like an end of the interval" in refused(suites=names)
    assert "choose from auto, bf16, fp32" in refused(precision="fp8")
    assert "at least 1" in refused(capacity=0)
    assert "from 0 to 2**63 - 1" in refused(seed=2**63)
    assert "unknown display" in refused(display="bar")


def test_a_threat_is_a_text_or_the_threat_that_attacks_take_or_several() -> None:
    linf, l2 = Threat.parse("linf:8/255"), Threat.parse("l2:0.5")
    assert Settings(linf) == Settings("linf:8/255")
    assert Settings((linf, l2)) == Settings([linf, "l2:0.5"]) == Settings("linf:8/255,l2:0.5")
    model, x, y = problem(8)
    assert list(evaluate(model, x, y, threat=linf).columns) == [("linf:8/255", "pgd-100")]


def test_labels_of_any_integer_type_and_images_of_any_float_type_are_read() -> None:
    model, x, y = problem(8)
    expected = flags(run(model, x, y, "linf:0.05"))
    for kind in (torch.uint8, torch.uint16, torch.int32):
        assert flags(run(model, x.double(), y.to(kind), "linf:0.05")) == expected


def test_two_evaluations_of_a_model_at_once_do_not_share_a_journal(tmp_path: Path) -> None:
    model, x, y = problem(8)
    settings = Settings(threat="linf:0.05")
    with Journal(tmp_path, Evaluation(model, x, y, None, settings).key).alone():
        assert "already evaluates this model" in refused(journal=tmp_path)
    evaluate(model, x, y, threat="linf:0.05", journal=tmp_path, display="none")


class Sometimes(nn.Module):
    """A linear model that returns NaN at one image, and drops features in train mode."""

    def __init__(self, bad: Tensor) -> None:
        super().__init__()
        self.inner, self.bad = problem()[0], bad

    def forward(self, x: Tensor) -> Tensor:
        hit = (x == self.bad).flatten(1).all(1)
        z: Tensor = self.inner(nn.functional.dropout(x, 0.5, self.training))
        return z.masked_fill(hit[:, None], torch.nan)


def test_one_image_with_logits_that_are_not_finite_is_refused() -> None:
    _, x, y = problem()
    message = refused(model=Sometimes(x[40]).eval(), images=x, labels=y)
    assert message.startswith("refused (P1): 1 of 60 outputs are NaN")


def test_a_model_left_in_train_mode_is_checked_in_eval_mode() -> None:
    _, x, y = problem()
    outcome = run(Sometimes(torch.ones(SHAPE)).train(), x, y, "linf:0.05")
    assert "P4" not in [finding.id for finding in outcome.findings]


def test_one_image_outside_the_box_is_refused_whichever_it_is() -> None:
    model, x, y = problem()
    x[40] *= 255
    assert "divide them by 255" in refused(model=model, images=x, labels=y)


def test_batch_norm_in_train_mode_is_refused() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), linear_model(3, SHAPE))
    assert refused(model=model.train()).startswith("refused (P3)")


def test_a_model_of_one_class_is_refused() -> None:
    model, x, y = linear_model(0, SHAPE, 1), problem()[1], torch.zeros(60, dtype=torch.long)
    assert "one class" in refused(model=model, images=x, labels=y)


def test_pixels_that_rounding_moved_out_of_the_box_are_clipped() -> None:
    model, x, y = problem()
    moved = torch.where(x > 0.9, torch.full_like(x, 1 + 5e-7), x)
    outcome = run(model, moved, y, "linf:0.001", suites=("crossfire",))
    assert outcome.clean.any()


def test_images_may_carry_gradients_and_must_have_four_dimensions() -> None:
    model, x, y = problem(8)
    assert run(model, x.clone().requires_grad_(), y, "linf:0.05").clean.any()
    assert "(n, c, h, w)" in refused(model=model, images=x.flatten(1), labels=y)


def signed() -> tuple[nn.Module, Tensor, Tensor]:
    """A model of pixels in [-1, 1], and images in [0, 1] with labels."""
    inner, x = linear_model(3, SHAPE, classes=10), images(5, 60, SHAPE)
    return nn.Sequential(Normalize([-1.0], [2.0]), inner).eval(), x, inner(x).argmax(1)


def test_a_model_of_another_range_of_pixels_is_refused_and_the_message_names_the_range() -> None:
    model, x, y = signed()
    message = refused(model=model, images=x, labels=y)
    assert (
        '100% with normalize="0.5,0.5"; evaluate it with that, or with normalize="0,1"' in message
    )
    message = refused(model=linear_model(3, SHAPE, classes=10), images=x, labels=y, normalize="3,3")
    assert message.endswith("100% with no normalisation; evaluate it with that")


def test_normalisation_is_put_inside_the_model() -> None:
    model, x, y = signed()
    inside = nn.Sequential(Normalize([0.5], [0.5]), model).eval()
    given = run(model, x, y, "linf:0.05", normalize="0.5,0.5")
    assert flags(given) == flags(run(inside, x, y, "linf:0.05"))
    assert given.weights_sha256 == weights_sha256(inside)
    assert "neither cifar10" in refused(normalize="cifar")
    assert "give a torch.nn.Module" in refused(model=lambda x: x, normalize="0.5,0.5")


def test_a_weak_model_is_taken() -> None:
    model, x, y = signed()
    assert run(model, x, y.roll(1), "linf:0.05").accuracy("clean") < 0.5


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_an_evaluation_does_not_depend_on_the_gradient_mode_of_its_caller(
    context: Callable[[], AbstractContextManager[None]],
) -> None:
    model, x, y = problem(8)
    expected = flags(run(model, x, y, "linf:0.05"))
    with context():
        x, y = x.clone(), y.clone()
        assert flags(run(model, x, y, "linf:0.05")) == expected
    assert flags(run(model, x, y, "linf:0.05")) == expected


def test_a_model_keeps_its_mode_also_if_it_is_refused() -> None:
    _, x, y = problem()
    model = nn.Sequential(Sometimes(torch.ones(SHAPE)), nn.Identity().eval())
    run(model, x, y, "linf:0.05")
    assert refused(model=model, images=3 * x - 1, labels=y)
    assert [module.training for module in model] == [True, False]


def test_another_default_type_changes_nothing_and_a_model_of_another_type_is_refused() -> None:
    model, x, y = problem(8)
    suites = ("crossfire", "apgd-ce", "apgd-t")
    expected = flags(run(model, x, y, suites=suites))
    torch.set_default_dtype(torch.float64)
    try:
        assert flags(run(model, x, y, suites=suites)) == expected
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(36, 2)).eval()
    for kind in (torch.float64, torch.bfloat16):
        assert refused(model=flat.to(kind)).endswith("; give a float32 model")


class Counting(nn.Module):
    """A linear model with a buffer that counts its passes."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear_model(3, SHAPE)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        logits: Tensor = self.inner(x)
        return logits


def test_a_model_that_changes_its_own_buffers_is_refused_before_any_attack() -> None:
    _, x, y = problem(8)
    model = Counting().eval()
    assert "changes its own weights or buffers" in refused(model=model, images=x, labels=y)
    assert int(model.seen) < 30


def test_one_image_with_a_label_that_is_a_number_is_refused() -> None:
    model, x, y = problem(1)
    assert "labels have shape ()" in refused(model=model, images=x, labels=y[0])

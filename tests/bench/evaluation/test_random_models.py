"""Of a model with random outputs the class that most passes give decides, not the luckiest pass."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import evaluate
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.judge import VOTES, Judge
from bench.evaluation.settings import Settings
from tests.toy import images, linear_model

NOISE = 0.3


class Noisy(nn.Module):
    """A linear model of two classes with noise on its logits."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear_model(3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(x)
        return logits + NOISE * torch.randn_like(logits)


def errors(x: Tensor, y: Tensor) -> Tensor:
    """The probability that one pass of `Noisy` misclassifies each point."""
    logits = linear_model(3)(x)
    margin = logits.gather(1, y[:, None]) - logits.gather(1, 1 - y[:, None])
    return torch.special.ndtr(-margin[:, 0] / (NOISE * 2**0.5))


def problem(n: int = 80) -> tuple[nn.Module, Tensor, Tensor]:
    """Labels by the noiseless model, some wrong, without images at most 0.2 from a tie: four
    standard deviations of a share of 99 passes, so that votes about the others agree."""
    x = images(5, n)
    y = linear_model(3)(x).argmax(1)
    y[::10] = 1 - y[::10]
    sure = (errors(x, y) - 0.5).abs() > 0.2
    return Noisy().eval(), x[sure], y[sure]


def test_under_a_vanishing_budget_robust_accuracy_is_clean_accuracy() -> None:
    model, x, y = problem()
    p = errors(x, y)
    assert int(((p > 0.05) & (p < 0.3)).sum()) > 5
    outcome = evaluate(model, x, y, threat="linf:1e-6", display="none")
    (column,) = outcome.columns.values()
    assert outcome.clean.tolist() == (p < 0.5).tolist()
    assert column.robust.tolist() == outcome.clean.tolist()
    table = outcome.table()
    assert ((table["prediction"] == table["label"]) == outcome.clean).all()


def test_verdicts_do_not_depend_on_the_callers_generator() -> None:
    model, x, y = problem(20)
    torch.manual_seed(1)
    first = evaluate(model, x, y, threat="linf:0.05", display="none")
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == after
    second = evaluate(model, x, y, threat="linf:0.05", display="none")
    assert first.table().equals(second.table())


def test_what_counts_as_broken_is_usually_misclassified() -> None:
    model, x, y = problem()
    outcome = evaluate(model, x, y, threat="linf:0.1", display="none")
    (column,) = outcome.columns.values()
    rows = np.flatnonzero(column.by >= 0)
    assert len(rows) > 10
    assert float(errors(torch.from_numpy(column.found[rows]), y[rows]).min()) > 0.45


def test_a_stage_takes_back_what_was_broken_by_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y = problem(40)
    monkeypatch.setattr("bench.evaluation.verdicts.CLEAR", 0.0)
    monkeypatch.setattr(Judge, "wrong", lambda judge, points, y: torch.ones_like(y).bool())
    outcome = evaluate(model, x, y, threat="linf:1e-6", display="none")
    (column,) = outcome.columns.values()
    assert column.robust.tolist() == outcome.clean.tolist()
    assert set(column.by) == {-1}
    assert int(column.forward[outcome.clean].min()) > VOTES


def test_two_evaluations_of_a_random_model_agree_whatever_was_drawn_before() -> None:
    model, x, y = problem(40)
    settings = {"threat": "linf:0.05", "display": "none"}
    torch.manual_seed(1)
    first = evaluate(model, x, y, **settings)
    torch.manual_seed(2)
    second = evaluate(model, x, y, **settings)
    for one, other in zip(first.columns.values(), second.columns.values(), strict=True):
        assert one.robust.tolist() == other.robust.tolist()
        assert np.array_equal(one.forward, other.forward)


def test_the_key_of_a_random_model_depends_on_the_number_of_votes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = {}
    for name, model in (("random", Noisy().eval()), ("plain", linear_model(3))):
        _, x, y = problem(20)
        evaluation = Evaluation(model, x, y, torch.arange(len(y)), Settings("linf:0.1"))
        before = evaluation.key
        with monkeypatch.context() as patch:
            patch.setattr("bench.evaluation.evaluator.VOTES", VOTES + 2)
            keys[name] = evaluation.key == before
    assert keys == {"random": False, "plain": True}

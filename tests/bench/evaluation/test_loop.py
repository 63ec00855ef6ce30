"""Points that the judge classifies: claimed ones, and last points near a decision boundary."""

import pytest
import torch
from torch import Tensor

from bench import evaluate
from bench.evaluation.judge import Judge
from bench.evaluation.loop import NEAR, claimed
from tests.toy import images, linear_model


def test_a_point_is_claimed_for_a_wrong_class_a_tie_or_non_finite_logits() -> None:
    logits = torch.tensor([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0], [torch.nan, 1.0], [torch.inf, 1.0]])
    y = torch.zeros(5, dtype=torch.long)
    assert claimed(logits, y).tolist() == [False, True, True, True, True]


def test_near_is_a_share_of_the_logits_spread_at_every_scale() -> None:
    logits = torch.tensor([[1.01, 1.0, 0.0], [1.1, 1.0, 0.0]])
    y = torch.zeros(2, dtype=torch.long)
    for scale in (1e-6, 1.0, 1e6):
        assert claimed(scale * logits, y, near=0.02).tolist() == [True, False]


def test_slots_that_stop_far_from_a_boundary_are_not_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[int] = []
    original = Judge.logits

    def counting(judge: Judge, points: Tensor) -> Tensor:
        shown.append(len(points))
        return original(judge, points)

    monkeypatch.setattr(Judge, "logits", counting)
    model, x = linear_model(0, classes=3), images(1, 32)
    best = model(x).sort(1, descending=True).values
    x = x[(best[:, 0] - best[:, 1]) > 2 * NEAR * (best[:, 0] - best[:, -1])]
    assert len(x) > 20
    y = model(x).argmax(1)
    outcome = evaluate(model, x, y, threat="linf:1e-6", suites=("crossfire",), display="none")
    assert outcome.accuracy() > 0.9
    assert sum(shown) < len(x) + 4

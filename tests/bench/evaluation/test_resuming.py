"""A killed evaluation is resumed, and only by the same evaluation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import evaluate
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.settings import Settings
from tests.bench.evaluation.test_evaluator import SHAPE, THREATS, flags, problem
from tests.toy import Linear, linear_model


class Stop(BaseException):
    """A kill."""


def test_a_killed_evaluation_resumes_and_ends_in_the_same_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, y = problem(30, classes=4)
    settings = Settings(threat=",".join(THREATS), precision="fp32", capacity=16)
    whole = Evaluation(model, x, y, torch.arange(len(y)), settings).run(Journal(tmp_path, "whole"))
    monkeypatch.setattr("bench.evaluation.engine.SAVE_EVERY", 0.0)
    saves, stops = 0, 0
    while True:
        journal = Journal(tmp_path, "stopped")
        save = journal.save

        def counting(
            state: dict[str, Tensor], save: Callable[[dict[str, Tensor]], None] = save
        ) -> None:
            nonlocal saves
            save(state)
            saves += 1
            if saves % 60 == 0:
                raise Stop

        monkeypatch.setattr(journal, "save", counting)
        evaluation = Evaluation(model, x, y, torch.arange(len(y)), settings)
        try:
            stopped = evaluation.run(journal)
        except Stop:
            stops += 1
            continue
        break
    assert stops >= 3
    assert flags(stopped) == flags(whole)
    for pair, column in whole.columns.items():
        assert np.array_equal(column.forward, stopped.columns[pair].forward)
        assert np.array_equal(column.found, stopped.columns[pair].found)


class Minus(Linear):
    """A model with the weights of another and other code."""

    def forward(self, x: Tensor) -> Tensor:
        return -super().forward(x)


def key(model: nn.Module, x: Tensor, y: Tensor, **settings: Any) -> str:  # noqa: ANN401
    chosen = Settings(**{"threat": "linf:0.05", "precision": "fp32", **settings})
    return Evaluation(model, x, y, None, chosen).key


def test_the_key_names_weights_code_data_and_settings_and_no_batch_size() -> None:
    model, x, y = problem(20)
    assert isinstance(model, Linear)
    same = key(model, x, y)
    others = [
        key(Linear(2 * model.weight, 2 * model.bias).eval(), x, y),
        key(Minus(model.weight, model.bias).eval(), x, y),
        key(model, x, 1 - y),
        key(model, x[1:], y[1:]),
        *(
            key(model, x, y, **changed)
            for changed in (
                {"seed": 1},
                {"threat": "linf:0.06"},
                {"suites": ("crossfire",)},
                {"union_only": True},
                {"precision": "bf16"},
                {"compiled": True},
            )
        ),
    ]
    assert len({same, *others}) == 1 + len(others)
    assert key(model, x.clone(), y, capacity=3) == same


class Stepped(Linear):
    """A model with the weights and the clean predictions of another, but without gradients."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((20 * x).round() / 20)


def changed_code(model: nn.Module) -> nn.Module:
    assert isinstance(model, Linear)
    return Stepped(model.weight, model.bias).eval()


def alike(n: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A problem whose images the model with changed code classifies as the model itself does."""
    model, x, y = problem(n)
    same = model(x).argmax(1) == changed_code(model)(x).argmax(1)
    assert key(model, x[same], y[same]) == key(changed_code(model), x[same], y[same])
    return model, x[same], y[same]


@pytest.mark.parametrize("change", [changed_code, lambda model: linear_model(9, SHAPE)])
def test_another_model_begins_anew_where_an_evaluation_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[nn.Module], nn.Module]
) -> None:
    model, x, y = alike(30)
    other = change(model)
    settings: dict[str, Any] = {"threat": "linf:0.05", "precision": "fp32", "display": "none"}
    save = Journal.save

    def stop(journal: Journal, state: dict[str, Tensor]) -> None:
        save(journal, state)
        raise Stop

    monkeypatch.setattr(Journal, "save", stop)
    with pytest.raises(Stop):
        evaluate(model, x, y, journal=tmp_path, **settings)
    monkeypatch.setattr(Journal, "save", save)
    there = flags(evaluate(other, x, y, journal=tmp_path, **settings))
    assert there == flags(evaluate(other, x, y, **settings))
    assert there != flags(evaluate(model, x, y, **settings))


def test_a_finished_evaluation_leaves_nothing_to_another_model_of_the_same_weights(
    tmp_path: Path,
) -> None:
    model, x, y = alike(30)
    other = changed_code(model)
    settings: dict[str, Any] = {"threat": "linf:0.05", "precision": "fp32", "display": "none"}
    first = evaluate(model, x, y, journal=str(tmp_path), **settings)
    assert list(tmp_path.iterdir()) == []
    assert len(first.adversarial("linf:0.05")[0])
    second = flags(evaluate(other, x, y, journal=str(tmp_path), **settings))
    assert second == flags(evaluate(other, x, y, **settings)) != flags(first)

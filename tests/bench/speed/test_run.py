"""The comparison counts passes and differing verdicts correctly; times are not tested."""

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from bench.attacks.external import Counted
from bench.cli import main
from bench.compute.environment import processor
from bench.errors import CrossfireError
from bench.report.listing import render
from bench.speed import peers
from bench.speed.run import Bench, Row, _timed, cells, report
from bench.threats import Threat
from tests.toy import Linear, images, linear_model

MODEL = linear_model(0, (1, 6, 6), 4)
X = images(0, 8, (1, 6, 6))
LINF = Threat.parse("linf:0.05")


def test_forward_and_backward_passes_are_counted_per_image() -> None:
    counted = Counted(MODEL)
    counted(X)
    counted(X[:3].clone().requires_grad_()).sum().backward()
    assert (counted.forwards, counted.backwards) == (11, 3)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A comparison that keeps what the other tool found."""
    folder = tmp_path_factory.mktemp("kept")
    return Bench(X, MODEL(X).argmax(1), ["crossfire"], "fp32", keep=folder)


@pytest.fixture(scope="module")
def rows(bench: Bench) -> list[Row]:
    """The comparison of one model under one threat."""
    return list(bench.rows({"toy": MODEL}, [LINF]))


def test_both_tools_have_the_same_judge_and_differences_are_counted(rows: list[Row]) -> None:
    reference, ours = rows
    assert (reference.tool, ours.tool) == ("pyautoattack", "ours: crossfire")
    assert (ours.missed, ours.extra) == (0, 0)
    assert reference.accuracy == ours.accuracy
    assert reference.passes > ours.passes > 0


def test_another_tools_result_is_kept_for_the_same_weights_and_images(
    bench: Bench, rows: list[Row]
) -> None:
    assert bench.keep is not None
    (kept,) = bench.keep.iterdir()
    again, _ = bench.rows({"toy": MODEL}, [LINF])
    assert again == rows[0]
    always_wrong = Linear(-MODEL.weight, -MODEL.bias).eval()
    other, _ = bench.rows({"toy": always_wrong}, [LINF])
    assert other.seconds != again.seconds
    assert len(list(bench.keep.iterdir())) == 2
    assert kept.exists()


@pytest.mark.parametrize(
    "changed", ["bench.speed.run.processor", "bench.speed.peers.metadata.version"]
)
def test_a_result_of_another_processor_or_version_of_the_tool_is_not_reused(
    bench: Bench, rows: list[Row], changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rows
    peers.version.cache_clear()
    monkeypatch.setattr(changed, lambda *_: "another")
    monkeypatch.setattr(Bench, "_attacked", lambda *_: (99.0, 1.0, np.zeros(8, dtype=bool)))
    measured, _ = bench.rows({"toy": MODEL}, [LINF])
    peers.version.cache_clear()
    assert measured.seconds == 99


def test_all_tools_run_on_one_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`meta` stands for a GPU; nothing can be computed on it, so the first attack ends the test."""
    found: list[torch.device] = []

    def attack(model: nn.Module, x: Tensor, y: Tensor, **settings: Any) -> None:  # noqa: ANN401
        found.extend([next(model.parameters()).device, x.device, y.device])
        raise CrossfireError(f"attacked on {settings['device']}")

    monkeypatch.setattr("bench.evaluation.attacked.choose_device", lambda _: torch.device("meta"))
    monkeypatch.setattr("bench.speed.run.evaluate", attack)
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nnet = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))"
    )
    options = ["--no-reference", "--threat", "linf", "--examples", "4"]
    done = CliRunner().invoke(main, ["speed", f"{tmp_path / 'mine.py'}:net", *options])
    assert "attacked on meta" in done.stderr
    assert {device.type for device in found} == {"meta"}


def test_the_clock_waits_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: done.append("waited"))
    _timed(lambda: done.append("worked"))
    assert done == ["waited", "worked", "waited"]


def test_a_row_without_a_reference_compares_nothing() -> None:
    row = Row("m", "linf:0.1", "x", 1.0, 2.0, 0.5)
    assert cells(row) == ("m", "linf:0.1", "x", "1.0", "2", "50.00%", "–", "–", "–")


def test_overhead_is_a_share_of_the_time_of_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = cycle([2.0, 3.0])
    monkeypatch.setattr("bench.speed.run._timed", lambda work: (next(seconds), work()))
    bench = Bench(X, torch.zeros(8, dtype=torch.int64), [], "fp32")
    assert bench.overhead(MODEL, LINF) == 0.5


def test_a_report_names_the_machine_and_notifies_of_each_finished_row() -> None:
    messages: list[str] = []
    bench = Bench(X, MODEL(X).argmax(1), ["pgd-100"], "fp32", reference=False)
    text = render(report({"toy": MODEL}, bench, [LINF], messages.append), "markdown")
    assert f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}" in text
    rows = [line for line in text.splitlines() if line.startswith("| toy |")]
    assert len(rows) == len(messages) + 1
    assert rows[-1].count("%") == 1
    assert messages[0].startswith("toy, linf:0.05, ours: pgd-100: ")

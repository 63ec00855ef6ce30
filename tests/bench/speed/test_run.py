"""The comparison counts passes and differing verdicts correctly; times are not tested."""

from itertools import cycle

import pytest
import torch

from bench.attacks.external import Counted
from bench.report.listing import render
from bench.speed.run import Bench, Row, cells, report
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


def test_a_row_without_a_reference_compares_nothing() -> None:
    row = Row("m", "linf:0.1", "x", 1.0, 2.0, 0.5)
    assert cells(row) == ("m", "linf:0.1", "x", "1.0", "2", "50.00%", "–", "–", "–")


def test_overhead_is_a_share_of_the_time_of_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = cycle([2.0, 3.0])
    monkeypatch.setattr("bench.speed.run._seconds", lambda work: next(seconds))
    bench = Bench(X, torch.zeros(8, dtype=torch.int64), [], "fp32")
    assert bench.overhead(MODEL, LINF) == 0.5


def test_a_report_names_the_machine_and_notifies_of_each_finished_row() -> None:
    messages: list[str] = []
    bench = Bench(X, MODEL(X).argmax(1), ["pgd-100"], "fp32", reference=False)
    text = render(report({"toy": MODEL}, bench, [LINF], messages.append), "markdown")
    assert f"torch {torch.__version__}" in text
    rows = [line for line in text.splitlines() if line.startswith("| toy |")]
    assert len(rows) == len(messages) + 1
    assert rows[-1].count("%") == 1
    assert messages[0].startswith("toy, linf:0.05, ours: pgd-100: ")

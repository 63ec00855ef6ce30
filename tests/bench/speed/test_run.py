"""The comparison counts passes and differing verdicts correctly; times are not tested."""

from pathlib import Path

import torch

from bench.attacks.external import Counted
from bench.report.listing import render
from bench.speed.run import Bench, Row, cells, report
from bench.threats import Threat
from tests.toy import images, linear_model

MODEL = linear_model(0, (1, 6, 6), 4)
X = images(0, 8, (1, 6, 6))
LINF = Threat.parse("linf:0.05")


def test_forward_and_backward_passes_are_counted_per_image() -> None:
    counted = Counted(MODEL)
    counted(X)
    counted(X[:3].clone().requires_grad_()).sum().backward()
    assert (counted.forwards, counted.backwards) == (11, 3)


def test_both_tools_have_the_same_judge_and_differences_are_counted() -> None:
    bench = Bench(X, MODEL(X).argmax(1), ["crossfire"], "fp32")
    reference, ours = bench.rows({"toy": MODEL}, [LINF])
    assert (reference.tool, ours.tool) == ("pyautoattack", "ours: crossfire")
    assert (ours.missed, ours.extra) == (0, 0)
    assert reference.accuracy == ours.accuracy
    assert reference.passes > ours.passes > 0


def test_another_tools_result_is_kept_for_the_same_weights_and_images(tmp_path: Path) -> None:
    bench = Bench(X, MODEL(X).argmax(1), ["crossfire"], "fp32", keep=tmp_path)
    first, _ = bench.rows({"toy": MODEL}, [LINF])
    (kept,) = tmp_path.iterdir()
    again, _ = bench.rows({"toy": MODEL}, [LINF])
    assert again == first
    other, _ = bench.rows({"toy": linear_model(1, (1, 6, 6), 4)}, [LINF])
    assert other.seconds != first.seconds
    assert len(list(tmp_path.iterdir())) == 2
    assert kept.exists()


def test_a_row_without_a_reference_compares_nothing() -> None:
    row = Row("m", "linf:0.1", "x", 1.0, 2.0, 0.5)
    assert cells(row) == ("m", "linf:0.1", "x", "1.0", "2", "50.00%", "–", "–", "–")


def test_overhead_is_a_share_of_the_time_of_the_passes() -> None:
    assert Bench(X, torch.zeros(8, dtype=torch.int64), [], "fp32").overhead(MODEL, LINF) > -1


def test_a_report_names_the_machine_and_notifies_of_each_finished_row() -> None:
    messages: list[str] = []
    bench = Bench(X, MODEL(X).argmax(1), ["pgd-100"], "fp32", reference=False)
    text = render(report({"toy": MODEL}, bench, [LINF], messages.append), "markdown")
    assert f"torch {torch.__version__}" in text
    rows = [line for line in text.splitlines() if line.startswith("| toy |")]
    assert len(rows) == len(messages) + 1
    assert rows[-1].count("%") == 1
    assert messages[0].startswith("toy, linf:0.05, ours: pgd-100: ")

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bench.cli import main
from bench.evaluation.estimate import estimate
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.settings import Settings
from tests.toy import images, linear_model

SHAPE = (1, 6, 6)


def evaluation(n: int, suite: str = "pgd-100") -> Evaluation:
    model, x = linear_model(3, SHAPE, 4), images(5, n, SHAPE)
    labels = model(x).argmax(1)
    labels[::10] = (labels[::10] + 1) % 4
    settings = Settings("linf:0.05", (suite,), dataset="toy", precision="fp32", capacity=32)
    return Evaluation(model, x, labels, torch.arange(n), settings)


def test_passes_are_estimated_within_their_error(tmp_path: Path) -> None:
    work = evaluation(100)
    estimated = estimate(work)
    columns = work.run(Journal(tmp_path, work.key)).columns.values()
    forward = sum(int(column.forward.sum()) for column in columns)
    assert estimated.sampled < 40
    assert abs(estimated.forward - forward) < 4 * estimated.spread * forward
    assert 0 < estimated.seconds < 20 * sum(float(column.seconds[0]) for column in columns)
    broken = sum(int((column.by >= 0).sum()) for column in columns)
    assert estimated.disk == pytest.approx(broken * 36 * 4, rel=0.5)


def test_a_stage_over_a_fixed_number_of_examples_is_not_scaled_up(tmp_path: Path) -> None:
    work = evaluation(200, "crossfire")
    columns = work.run(Journal(tmp_path, work.key)).columns.values()
    forward = sum(int(column.forward.sum()) for column in columns)
    assert estimate(work).forward == pytest.approx(forward, rel=0.5)


def test_a_model_that_is_always_wrong_costs_nothing() -> None:
    work = evaluation(20)
    work.examples.labels[:] = (work.logits.argmax(1) + 1) % 4
    nothing = estimate(work)
    assert (nothing.correct, nothing.forward, nothing.seconds, nothing.disk) == (0, 0, 0, 0)


def test_a_dry_run_prints_the_estimated_cost_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import torch\ndef net():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    )
    words = ["evaluate", "mine.py:net", "--examples", "60", "--threat", "linf:0.1", "--dry-run"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "of 60 examples to attack, about" in done.output
    written = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert written == {"mine.py"}

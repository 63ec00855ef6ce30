"""Summaries with known answers, and the page of the documents against the results beside it."""

import math
import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import imitate
from bench.errors import CrossfireError
from imitation_learning import report
from imitation_learning.results import METHODS, Method, Plan, Result, read_results
from imitation_learning.summary import difference, interval, summaries

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "imitation.md"
TASKS = ("Acrobot-v1", "Pendulum-v1")


def result(method: Method, seed: int, scores: list[float]) -> Result:
    plan = Plan("T", method, seed, steps=100, episodes=4, thin=10)
    curve = [(10 * (k + 1), score) for k, score in enumerate(scores)]
    return Result(plan, curve, [1.0 * seed, 1.0 * seed + 2])


def test_an_interval_is_students() -> None:
    middle, low, high = interval([1.0, 2.0, 3.0])
    assert (middle, (high - low) / 2) == (2.0, pytest.approx(4.3027 / math.sqrt(3), abs=1e-4))
    assert interval([5.0]) == (5.0, -math.inf, math.inf)


def test_a_difference_of_equal_spreads_is_students_of_two_samples() -> None:
    middle, low, high = difference([4.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    assert (middle, (high - low) / 2) == (3.0, pytest.approx(2.7764 * math.sqrt(2 / 3), abs=1e-4))
    assert difference([1.0, 1.0], [0.0, 0.0]) == (1.0, 1.0, 1.0)


def test_a_summary_is_of_the_last_policy_and_the_last_fifth() -> None:
    scores = [0.0] * 8
    runs = [result("gail", 0, [*scores, 1.0, 3.0]), result("gail", 1, [*scores, 5.0, 7.0])]
    (gail,) = summaries(runs)
    assert gail.final[0] == 1.5
    assert gail.worst == 1.0
    assert gail.last_fifth is not None
    assert gail.last_fifth[0] == 4.0
    assert gail.deviation == pytest.approx(math.sqrt(2))
    assert gail.above_gail is None


def test_a_method_without_steps_has_no_curve_and_still_a_row() -> None:
    runs = [result("bc", 0, []), result("gail", 0, [1.0, 2.0])]
    assert "| bc | 1 | 1 | 1 |  |  |  |" in report.markdown(runs, [5.0])
    assert report.svg(runs, 5.0).count("<path") > 3


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "bc-0.json").write_text("{")
    with pytest.raises(CrossfireError, match="is damaged"):
        Result.read(tmp_path / "bc-0.json")


def test_runs_with_other_options_do_not_share_a_report(tmp_path: Path) -> None:
    first = result("bc", 0, [])
    first.write(tmp_path / "bc-0.json")
    assert read_results(tmp_path) == [first]
    Result(replace(first.plan, seed=1, thin=1), [], [0.0]).write(tmp_path / "bc-1.json")
    with pytest.raises(CrossfireError, match=r"with thin (1, not 10|10, not 1);"):
        read_results(tmp_path)


def test_the_command_offers_every_method() -> None:
    assert imitate.METHODS == METHODS


@pytest.mark.parametrize("task", TASKS)
def test_the_table_of_the_documents_is_that_of_the_results(task: str) -> None:
    folder = PAGE.parent / "imitation" / task
    runs = read_results(folder)
    assert {run.plan.seed for run in runs} == {0, 1, 2, 3, 4}
    assert report.markdown(runs, report.expert_scores(folder)) in PAGE.read_text()


def test_the_p_values_of_the_documents_are_those_of_the_results(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("stable_baselines3")
    runpy.run_path(str(ROOT / "benchmarks" / "imitation.py"), run_name="__main__")
    acrobot, pendulum = capsys.readouterr().out.split("Pendulum-v1\n")[:2]
    rows = [
        re.findall(r"\| (\S+) \| (\S+) \| (.+) \|$", text, re.M) for text in (acrobot, pendulum)
    ]
    first, second = ({(a, b): p.split(" | ") for a, b, p in found} for found in rows)
    page = " ".join(PAGE.read_text().split())
    assert f"(p {first['bc', 'gail'][0]} and {first['bc', 'l2l'][0]})" in page
    deviations = (first["gail", "l2l"][2], second["gail", "l2l"][2])
    assert "Welch's p {} and {}".format(*deviations) in page
    assert f"Welch's p {first['gail', 'l2l-unrolled'][2]})" in page

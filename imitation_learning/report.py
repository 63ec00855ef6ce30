"""The report of a task: curves, and a table, as a page of its own or as markdown."""

import io
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from bench.files import write_atomic
from imitation_learning.results import Plan, Result, read_results
from imitation_learning.summary import Interval, Summary, summaries

COLUMNS = (
    "method",
    "seeds",
    "last policy",
    "worst seed",
    "last fifth",
    "deviation there",
    "above gail",
)
COLOURS = {
    "gail": "#3b6fb6",
    "gail-gp": "#d08a1d",
    "l2l": "#b3343a",
    "l2l-unrolled": "#7a4fa3",
    "bc": "#5c6670",
}
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  font: 15px/1.45 system-ui, sans-serif; }}
table {{ border-collapse: collapse; }} svg {{ max-width: 100%; height: auto; }}
th, td {{ padding: .4rem .7rem; border-bottom: 1px solid #ccc; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
</style>
<h1>{title}</h1>
<p>{words}</p>
{chart}
{table}
</html>
"""


def write(folder: Path) -> Path:
    """Write report.html, curves.svg and table.txt from the folder's runs; returns the page."""
    results, expert = read_results(folder), expert_scores(folder)
    chart = svg(results, mean(expert))
    write_atomic(folder / "curves.svg", chart.encode())
    write_atomic(folder / "table.txt", (markdown(results, expert) + "\n").encode())
    page = folder / "report.html"
    write_atomic(page, html(results, expert, chart).encode())
    return page


def expert_scores(folder: Path) -> list[float]:
    """The expert's scores in the episodes in which the last policies are evaluated."""
    with np.load(folder / "expert.npz", allow_pickle=False) as file:
        return [float(score) for score in file["evaluation"]]


def markdown(results: Sequence[Result], expert: Sequence[float]) -> str:
    """The table; `expert` are the scores of the expert in the episodes of *last policy*."""
    rows = _rows(results, expert)
    lines = [COLUMNS, (":--", *["--:"] * (len(COLUMNS) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def html(results: Sequence[Result], expert: Sequence[float], chart: str) -> str:
    """The page: it needs no network and no other file."""
    plan = results[0].plan
    rows = [("th", COLUMNS), *(("td", row) for row in _rows(results, expert))]
    lines = [
        f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in row)}</tr>" for tag, row in rows
    ]
    return PAGE.format(
        title=f"Imitation learning on {escape(plan.task)}",
        words=escape(_words(plan)),
        chart=chart[chart.index("<svg") :],
        table=f"<table>{''.join(lines)}</table>",
    )


def _words(plan: Plan) -> str:
    return (
        f"{plan.episodes} episodes of an expert, one step in {plan.thin} known; "
        f"{plan.steps:,} environment steps (bc: none). Scores are the usual ones. Last policy: "
        "20 further episodes. Last fifth: the episodes of training; the deviation is that of "
        "rounds within a seed. In brackets 95 % intervals over seeds: Student's, for differences "
        "Welch's."
    )


def _rows(results: Sequence[Result], expert: Sequence[float]) -> list[tuple[str, ...]]:
    shown = ("expert", "", _number(mean(expert)), *[""] * (len(COLUMNS) - 3))
    return [shown, *(_row(summary) for summary in summaries(results))]


def _row(summary: Summary) -> tuple[str, ...]:
    deviation = "" if summary.deviation is None else f"{summary.deviation:.0f}"
    return (
        summary.method,
        str(summary.seeds),
        _shown(summary.final),
        _number(summary.worst),
        _shown(summary.last_fifth),
        deviation,
        _shown(summary.above_gail, "+"),
    )


def _shown(found: Interval | None, sign: str = "") -> str:
    if found is None:
        return ""
    middle, *ends = (_number(value, sign) for value in found)
    return f"{middle} ({' to '.join(ends)})" if math.isfinite(found[1]) else middle


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.0f}".replace("-", "−")


def svg(results: Sequence[Result], expert: float) -> str:
    """Left: mean score over seeds with its interval, by environment steps. Right: every seed."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = {"svg.hashsalt": "imitation", "svg.fonttype": "none", "font.size": 9.0}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(10, 3.8), layout="constrained")
        means, seeds = figure.subplots(1, 2, sharey=True)
        for summary in summaries(results):
            colour = COLOURS[summary.method]
            if not summary.curve:
                means.axhline(
                    summary.final[0], color=colour, linestyle="--", label=f"{summary.method}, last"
                )
                continue
            steps = [step for step, _ in summary.curve]
            middle, low, high = zip(*(found for _, found in summary.curve), strict=True)
            means.plot(steps, middle, color=colour, label=summary.method)
            if summary.seeds > 1:
                means.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        for result in results:
            if result.curve:
                seeds.plot(
                    *zip(*result.curve, strict=True), color=COLOURS[result.plan.method], lw=0.8
                )
        means.axhline(expert, color="black", linestyle=":", label="expert")
        scores = [score for result in results for _, score in result.curve]
        bottom, top = min([*scores, expert]), max([*scores, expert])
        means.set_ylim(bottom - 0.05 * (top - bottom + 1), top + 0.1 * (top - bottom + 1))
        means.set(
            xlabel="environment steps", ylabel="score", title="mean over seeds, 95 % interval"
        )
        seeds.set(xlabel="environment steps", title="every seed")
        means.legend(fontsize=8)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()

"""The figure of a campaign: robustness against cost, and the course of training."""

import io
from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

from bench.campaign.found import Runs
from bench.campaign.results import columns, merit_column, passes
from leaderboard.statistics import wilson

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Logs = dict[str, list[list[dict[str, float]]]]


def svg(runs: Runs, logs: Logs) -> str:
    """Left: accuracy, with its 95 % interval, against passes of training. Right: for each run the
    held-out union accuracy by epoch, mean over seeds; left out where no log is at hand."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = {"svg.hashsalt": "campaign", "svg.fonttype": "none", "font.size": 9.0}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(11 if logs else 6, 4.5), layout="constrained")
        panels = figure.subplots(1, 2 if logs else 1, squeeze=False)[0]
        _cost(panels[0], runs)
        if logs:
            _courses(panels[1], logs)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _cost(axes: "Axes", runs: Runs) -> None:
    column = merit_column(columns(runs))
    for name, seeds in runs.items():
        spent, values = passes(seeds), column.values(seeds)
        if not spent or not values:
            continue
        share, low, high = _interval(values, next(iter(seeds.values())).examples)
        axes.errorbar(spent, share, [[share - low], [high - share]], fmt="o", capsize=3, label=name)
        axes.annotate(name, (spent, share), xytext=(5, 4), textcoords="offset points")
    axes.set(
        xscale="log",
        xlabel="passes of training (images forward and backward)",
        ylabel=f"{column.title}, % correct",
    )


def _interval(values: Sequence[float], examples: int) -> tuple[float, float, float]:
    """Mean and Wilson's 95 % interval over images, in percent."""
    share = mean(values)
    low, high = wilson(share / 100 * examples, examples)
    # At an end of the range rounding may leave the mean outside by the last bit.
    return share, min(100 * low, share), max(100 * high, share)


def _courses(axes: "Axes", logs: Logs) -> None:
    for name, seeds in logs.items():
        epochs = min(map(len, seeds))
        course = [100 * mean(rows[epoch]["union"] for rows in seeds) for epoch in range(epochs)]
        axes.plot(range(1, epochs + 1), course, label=name, linewidth=1.2)
    axes.set(xlabel="epoch", ylabel="held out, under the run's own threats, % correct")
    axes.legend(fontsize=7, ncols=2)

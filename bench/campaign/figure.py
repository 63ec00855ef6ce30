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
FEW = 12
"""Runs that are named beside their points; of more the legend alone has the names."""


def svg(runs: Runs, logs: Logs) -> str:
    """Left: accuracy, with its 95 % interval over images, against passes of training. Right: for
    each run the held-out accuracy by epoch, mean over seeds; left out where no log is at hand."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = {"svg.hashsalt": "campaign", "svg.fonttype": "none", "font.size": 9.0}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(12 if logs else 7, 4.5), layout="constrained")
        panels = figure.subplots(1, 2 if logs else 1, squeeze=False)[0]
        colours = mpl.colormaps["tab20"]
        looks: dict[str, dict[str, Any]] = {
            name: {"color": colours(k % 20), "marker": "osD^v"[k // 20 % 5], "label": name}
            for k, name in enumerate(runs)
        }
        _cost(panels[0], runs, looks)
        if logs:
            _courses(panels[1], logs, looks)
        handles = panels[0].get_legend_handles_labels()
        wide = 1 + len(runs) // 25
        figure.legend(*handles, loc="outside right center", fontsize=7, ncols=wide)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _cost(axes: "Axes", runs: Runs, looks: dict[str, dict[str, Any]]) -> None:
    column = merit_column(columns(runs))
    for name, seeds in runs.items():
        spent, values = passes(seeds), column.values(seeds)
        if not spent or not values:
            continue
        share, low, high = _interval(values, next(iter(seeds.values())).examples)
        ends = [[share - low], [high - share]]
        axes.errorbar(spent, share, ends, linestyle="", capsize=3, **looks[name])
        if len(runs) <= FEW:
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


def _courses(axes: "Axes", logs: Logs, looks: dict[str, dict[str, Any]]) -> None:
    for name, seeds in logs.items():
        epochs = min(map(len, seeds))
        course = [100 * mean(rows[epoch]["union"] for rows in seeds) for epoch in range(epochs)]
        colour = looks.get(name, {}).get("color", "grey")
        axes.plot(range(1, epochs + 1), course, color=colour, linewidth=1.2)
    axes.set(xlabel="epoch", ylabel="held out, under the run's own threats, % correct")

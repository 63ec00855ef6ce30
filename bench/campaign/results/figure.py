"""The figure of a campaign: robust accuracy against training cost, and the training curves."""

import io
from statistics import mean
from typing import TYPE_CHECKING, Any

from bench.campaign.results.records import Collected, main_tag
from bench.campaign.results.tables import columns, merit_column, passes
from leaderboard.seeds import estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Logs = dict[str, list[list[dict[str, float]]]]
LABELLED = 12
"""Up to so many runs are named beside their points; the names of more are in the legend only."""


def svg(runs: Collected, logs: Logs) -> str:
    """Left: accuracy against passes of training, with its 95 % interval (`leaderboard.seeds`).
    Right: the held-out accuracy of each run by epoch, mean over seeds; omitted if there is no log.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: Any = {"svg.hashsalt": "campaign", "svg.fonttype": "none", "font.size": 9.0}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(12 if logs else 7, 4.5), layout="constrained")
        panels = figure.subplots(1, 2 if logs else 1, squeeze=False)[0]
        colours = mpl.colormaps["tab20"]
        styles: dict[str, dict[str, Any]] = {
            name: {"color": colours(k % 20), "marker": "osD^v"[k // 20 % 5], "label": name}
            for k, name in enumerate(runs)
        }
        _cost_panel(panels[0], runs, styles)
        if logs:
            _curves(panels[1], logs, styles)
        handles = panels[0].get_legend_handles_labels()
        columns_of_legend = 1 + len(runs) // 25
        figure.legend(*handles, loc="outside right center", fontsize=7, ncols=columns_of_legend)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _cost_panel(axes: "Axes", runs: Collected, styles: dict[str, dict[str, Any]]) -> None:
    column = merit_column(columns(runs), main_tag(runs))
    for name, seeds in runs.items():
        cost, flags = passes(seeds, column.tag), column.runs(seeds)
        if not cost or not flags:
            continue
        accuracy, low, high = (100 * share for share in estimate(flags.flags, flags.examples))
        # At an end of the range rounding may leave the mean outside by the last bit.
        errors = [[max(0.0, accuracy - low)], [max(0.0, high - accuracy)]]
        axes.errorbar(cost, accuracy, errors, linestyle="", capsize=3, **styles[name])
        if len(runs) <= LABELLED:
            axes.annotate(name, (cost, accuracy), xytext=(5, 4), textcoords="offset points")
    axes.set(
        xscale="log",
        xlabel="passes of training (images forward and backward)",
        ylabel=f"{column.title}, % correct",
    )


def _curves(axes: "Axes", logs: Logs, styles: dict[str, dict[str, Any]]) -> None:
    for name, seeds in logs.items():
        epochs = min(map(len, seeds))
        curve = [100 * mean(rows[epoch]["union"] for rows in seeds) for epoch in range(epochs)]
        colour = styles.get(name, {}).get("color", "grey")
        axes.plot(range(1, epochs + 1), curve, color=colour, linewidth=1.2)
    axes.set(xlabel="epoch", ylabel="held out, under the run's own threats, % correct")

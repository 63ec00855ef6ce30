"""The figures of the page, as SVG."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.files import write_atomic

from .study import Row
from .summary import arms, in_order, mean, problem, problems

COLOURS = {
    "plain": "0.6",
    "at": "black",
    "ball labels": "tab:olive",
    "adversarial labels": "tab:red",
    "uncertain labels": "tab:pink",
    "adversarial soft": "tab:blue",
    "adversarial gradients": "tab:green",
    "data soft": "tab:cyan",
    "data gradients": "tab:brown",
}


def draw(rows: Sequence[Row], folder: Path) -> None:
    """One file for each kind of problem that the rows hold."""
    look = {"svg.fonttype": "none", "svg.hashsalt": "active-teacher", "font.size": 8}
    with matplotlib.rc_context(look):  # type: ignore[arg-type]
        for name in ("spheres", "discs"):
            _keep(_curves(rows, name, ("robust",)), folder / f"{name}.svg")
        _keep(_curves(rows, "digits", ("robust", "labelled")), folder / "digits.svg")


def _curves(rows: Sequence[Row], name: str, columns: Sequence[str]) -> Figure:
    found = problems(rows, name)
    found = found if name == "digits" else in_order(found)
    across = [(one, column) for one in found for column in columns]
    figure, axes = plt.subplots(
        2, len(across), figsize=(2.6 * len(across) + 2.3, 5), sharey=True, squeeze=False
    )
    for place, (one, column) in enumerate(across):
        of_it = arms(row for row in rows if problem(row) == one and "," not in row["arm"])
        for axis, unit in zip(axes[:, place], ("queries", "bits"), strict=True):
            _curve(axis, of_it, column, unit)
        axes[0, place].set_title(_title(one, column))
    for axis in axes[:, 0]:
        axis.set_ylabel("robust accuracy, %")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False)
    figure.tight_layout(rect=(0, 0, 1 - 2.2 / figure.get_figwidth(), 1))
    return figure


def _title(one: tuple[str, ...], column: str) -> str:
    if one[0] == "digits":
        return f"n = {one[3]}, by the {'teacher' if column == 'robust' else 'labels'}"
    return f"{one[2]} of {one[1]} dimensions, n = {one[3]}"


def _curve(axis: Axes, found: dict[str, list[Row]], column: str, unit: str) -> None:
    axis.set_xscale("log")
    axis.minorticks_off()
    spent = [float(row[unit]) for rows in found.values() for row in rows if row["queries"] != "0"]
    axis.set_xlim(min(spent) / 1.5, 1.5 * max(spent))
    axis.set_xlabel(f"{unit} a student")
    for arm, rows in found.items():
        means = [mean(row[column]) for row in rows]
        colour = COLOURS[arm.removeprefix("at + ")]
        dashes = "--" if arm.startswith("at + ") else "-"
        if rows[0]["queries"] == "0":
            axis.axhline(means[0].value, color=colour, linestyle=":", label=arm)
            continue
        axis.errorbar(
            [float(row[unit]) for row in rows],
            [found.value for found in means],
            yerr=[found.half for found in means],
            color=colour,
            linestyle=dashes,
            label=arm,
            marker=".",
            linewidth=1,
        )


def _keep(figure: Figure, path: Path) -> None:
    text = io.BytesIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    short = re.sub(r"(\d+\.\d)\d+", r"\1", text.getvalue().decode())
    lines = "\n".join(line.strip() for line in short.splitlines() if line.strip())
    write_atomic(path, f"{lines}\n".encode())

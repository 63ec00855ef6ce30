"""A table's charts as SVG, drawn by matplotlib, in the reader's own colours, light or dark.

Each function returns one `<svg>` element with a title and a description for screen readers. Its
colours are the variables of `page/chart.css`, so that a page can style it; `standalone` makes a
file of it. The curves on the page's cards are drawn by the template `page/curve.svg` instead: there
are three for each of up to a hundred rows, and matplotlib takes 35 ms and 11 kB for one, together
10 s and 3 MB; the template takes 0.5 ms and 2.7 kB.
"""

import io
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from importlib.resources import files
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox
from rich.cells import cell_len, chop_cells

from bench.report.wording import (
    NORMS,
    attacked,
    compact,
    passes,
    percent,
    rank,
    row_id,
    short,
    symbol,
)
from leaderboard.budget import parse_threat
from leaderboard.frame import Cells, measured

NUMBERED = 40
"""Points of the cost chart, those of the first rows, that bear a number."""
LONGEST = 48
"""Letters of a name in a chart; wide ones count twice. The description has all."""
BUDGETS = 3
"""The fewest budgets of a norm for a chart of accuracy against epsilon."""

_CSS = (files("bench.report") / "page" / "chart.css").read_text(encoding="utf-8")
_COLOURS = dict(re.findall(r"--(\w+): (#\w{6})", _CSS.partition("}")[0]))
_LINES = [_COLOURS[name] for name in ("linf", "l2", "l1", "union", "clean")]
"""The colours of the rows in a chart of accuracy against epsilon; further rows are not drawn."""
_STYLE: Any = {
    "svg.hashsalt": "crossfire",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 12,
    "text.color": _COLOURS["ink"],
    "axes.labelcolor": _COLOURS["muted"],
    "xtick.labelcolor": _COLOURS["muted"],
    "ytick.labelcolor": _COLOURS["ink"],
    "grid.color": _COLOURS["rule"],
    "axes.axisbelow": True,
    "lines.solid_capstyle": "round",
}
_SUPERFLUOUS = re.compile(
    r'<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>|font-family: [^;"]*;? ?'
    r'|(?<=<text )style="font-size: 12px; (?=")| (?:width|height)="[\d.]+pt"| version="1.1"',
    re.S,
)


def ranking(rows: Sequence[Cells]) -> str:
    """Every row's accuracies as points with their intervals, best row first; under each threat that
    of the suite which left the fewest examples robust."""
    with _drawing():
        figure, axes = _figure(640, 80 + 34 * len(rows))
        columns = [_least(row) for row in rows]
        for k, threat in enumerate(columns[0]):
            colour = _COLOURS[threat.partition(":")[0]]
            heights = [place + 0.15 * (k - (len(columns[0]) - 1) / 2) for place in range(len(rows))]
            names = [(row, column[threat]) for row, column in zip(rows, columns, strict=True)]
            low, high = ([row[f"{name}_{end}"] for row, name in names] for end in ("low", "high"))
            axes.hlines(heights, low, high, color=colour, alpha=0.45, lw=2)
            shares = [row[name] for row, name in names]
            dots = axes.plot(shares, heights, "o", ms=5, mew=0, color=colour, clip_on=False)
            dots[0].set_label(symbol(threat))
        axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
        labels = [_named(rank(row), row) for row in rows]
        axes.set_yticks(range(len(rows)), labels)
        axes.xaxis.set_major_formatter(_in_percent)
        axes.tick_params(top=False, labeltop=True, labelbottom=False)
        axes.grid(axis="x")
        figure.legend(loc="outside lower center", ncols=len(columns[0]), frameon=False)
        title = "Accuracies with their 95 % intervals"
        return _svg(
            figure, title, (f"{rank(row)} {row['defense']}: {_shares(row)}" for row in rows)
        )


def cost(rows: Sequence[Cells], names: bool = False) -> str | None:
    """Passes spent on training against the union, for the rows that say what they cost.

    Each point bears the row's number in the table, from 1; with `names` a list beside the chart
    says which row that is. None when no row says what it cost.
    """
    known = [(k, row, spent) for k, row in enumerate(rows, 1) if (spent := passes(row))]
    if not known:
        return None
    with _drawing():
        figure, axes = _figure(720 if names else 560, max(300, 70 + 17 * len(known) * names))
        for _, row, spent in known:
            ends = [row["union_low"], row["union_high"]]
            bar = axes.plot([spent] * 2, ends, lw=2, alpha=0.35, color=_COLOURS["union"])
            dot = axes.plot(spent, row["union"], "o", ms=8, mew=0, color=_COLOURS["union"])
            for artist in (*bar, *dot):
                artist.set_gid(f"row-{row_id(row)}")
        axes.set(xscale="log", xlabel="passes spent on training (images forward and backward)")
        axes.margins(x=0.08)
        most = max(row["union_high"] for _, row, _ in known)
        axes.set_ylim(-0.05 * most, 1.05 * most)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: compact(value))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(_in_percent)
        axes.grid(axis="y")
        if names:
            listed = "\n".join(_named(f"{k}", row) for k, row, _ in known[:NUMBERED])
            axes.text(1.04, 1, listed, transform=axes.transAxes, va="top", linespacing=1.4)
        _number(
            figure, axes, [(k, float(spent), row["union"]) for k, row, spent in known[:NUMBERED]]
        )
        lines = (f"{k} {row['defense']}: {percent(row['union'])} %, {n:,}" for k, row, n in known)
        return _svg(figure, "Training cost against accuracy under the union", lines)


def curve(rows: Sequence[Cells], norm: str) -> str | None:
    """Accuracy of the first rows against epsilon of a norm (Carlini et al. 2019), with intervals.

    At epsilon 0 it is the clean accuracy. None with fewer than `BUDGETS` budgets, and where only
    the union counts.
    """
    threats = [name for name in _least(rows[0]) if name.startswith(f"{norm}:")]
    if len(threats) < BUDGETS:
        return None
    threats.sort(key=parse_threat)
    epsilons = [0.0, *(float(parse_threat(threat).epsilon) for threat in threats)]
    with _drawing():
        figure, axes = _figure(560, 340)
        lines = []
        for row, colour in zip(rows, _LINES, strict=False):
            names = [_least(row)[threat] for threat in ("clean", *threats)]
            low, high = ([row[f"{name}_{end}"] for name in names] for end in ("low", "high"))
            axes.vlines(epsilons, low, high, color=colour, alpha=0.45, lw=2)
            shares = [row[name] for name in names]
            line = axes.plot(epsilons, shares, "o-", ms=5, mew=0, color=colour, clip_on=False)
            line[0].set_label(_named(rank(row), row))
            lines.append(f"{rank(row)} {row['defense']}: {_shares(row)}")
        axes.set(ylim=(0, 1), xlabel=f"{symbol(norm)} epsilon (pixels in [0, 1])")
        axes.locator_params(axis="x", nbins=6)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter(_in_percent)
        axes.grid(axis="y")
        figure.legend(loc="outside right upper", frameon=False)
        return _svg(figure, f"Accuracy against {norm} epsilon", lines)


def drawn(rows: Sequence[Cells]) -> dict[str, str]:
    """A table's charts as files, by their names, which any file system takes."""
    name = f"{rows[0]['dataset']}-{short(rows[0]['protocol'])}"
    name = re.sub(r"[^\w.-]+", "-", name)
    charts = {f"{name}-ranking.svg": ranking(rows), f"{name}-cost.svg": cost(rows, names=True)}
    charts |= {f"{name}-curve-{norm}.svg": curve(rows, norm) for norm in NORMS}
    return {file: standalone(chart) for file, chart in charts.items() if chart}


def standalone(chart: str) -> str:
    """The chart as a file that brings its own colours."""
    head, _, rest = chart.partition("</desc>")
    return f"{head}</desc><style>{_CSS}</style>{rest}\n"


@contextmanager
def _drawing() -> Iterator[None]:
    with rc_context(_STYLE), warnings.catch_warnings():
        # Text is written as text: the reader's fonts draw what is missing from ours.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield


def _named(place: str, row: Cells) -> str:
    """A row's place and its name, of which the end is left out where it is long."""
    name = row["defense"]
    if cell_len(name) > LONGEST:
        name = f"{chop_cells(name, LONGEST - 1)[0]}…"
    return f"{place}  {name}"


def _figure(width: int, height: int) -> tuple[Figure, Axes]:
    """A figure of that many pixels, and its axes without a frame."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot(frameon=False)
    axes.tick_params(which="both", left=False, bottom=False)
    return figure, axes


def _in_percent(share: float, _: object) -> str:
    return f"{100 * share:g} %"


_OFFSETS = sorted(
    ((right, up) for right in (12, -12, 0, 24, -24) for up in range(0, 130, 11) if right or up),
    key=lambda offset: math.hypot(offset[0], 1.3 * offset[1]),
)
"""Pixels to the right and up by which a number may lie beside its point, the nearest first."""


def _number(figure: Figure, axes: Axes, points: Sequence[tuple[int, float, float]]) -> None:
    """Write each point's number where it covers neither a point nor another number, near by."""
    figure.draw_without_rendering()
    centres = axes.transData.transform([(x, y) for _, x, y in points])
    taken = [_box(x, y, 8) for x, y in centres]
    for (number, x, y), (left, bottom) in zip(points, centres, strict=True):
        boxes = (
            (at, _box(left + at[0], bottom + at[1], 5 + 7 * len(str(number)))) for at in _OFFSETS
        )
        free = ((at, box) for at, box in boxes if not box.count_overlaps(taken))
        at, box = next(free, (_OFFSETS[-1], taken[0]))
        taken.append(box)
        far = math.hypot(*at) > 14
        line = {"arrowstyle": "-", "lw": 0.5, "color": _COLOURS["muted"]} if far else None
        where: dict[str, Any] = {"textcoords": "offset pixels", "ha": "center", "va": "center"}
        axes.annotate(str(number), (x, y), at, arrowprops=line, fontsize=11, **where)


def _box(x: float, y: float, width: int) -> Bbox:
    return Bbox.from_bounds(x - width / 2, y - 5, width, 10)


def _svg(figure: Figure, title: str, lines: Iterable[str]) -> str:
    """The figure as one element without what readers don't need, its colours as variables."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    _, _, text = stream.getvalue().partition("<svg")
    text = _SUPERFLUOUS.sub("", text)
    text = re.sub("<[^>]*>", _rounded, text)
    text = re.sub(r'id="row-(\w+)"', r'class="dot" data-card="\1"', text)
    for name, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    text = re.sub(r"\s*\n\s*", " ", text)
    about = f"<title>{escape(title)}</title><desc>{escape('; '.join(lines))}</desc>"
    return f'<svg class="chart" role="img"{text}'.replace(">", f">{about}", 1).strip()


def _rounded(tag: re.Match[str]) -> str:
    """A tag with two decimals of each coordinate; text between tags may be names with numbers."""
    return re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.2f}", tag[0])


def _least(row: Cells) -> dict[str, str]:
    """The measured column with the lowest accuracy under each threat; `clean` and `union` too, and
    nothing else where only the union counts."""
    if row["union_only"]:
        return {name: name for name in ("clean", "union")}
    least: dict[str, str] = {}
    columns = attacked(row)
    for name in measured(row):
        threat = columns[name].threat if name in columns else name
        if threat not in least or row[name] < row[least[threat]]:
            least[threat] = name
    return least


def _shares(row: Cells) -> str:
    return ", ".join(f"{symbol(name)} {percent(row[own])}" for name, own in _least(row).items())

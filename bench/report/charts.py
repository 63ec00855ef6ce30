"""Charts as SVG: small, sharp at every size, and in the reader's own colours, light or dark.

Each function returns one `<svg>` element whose colours come from classes, so that the page can
style it; `standalone` makes a file of its own of it.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from bench.report.evidence import Curve
from bench.report.wording import percent, rank, short, symbol
from leaderboard.frame import Cells, measured

Number = int | float

Span = tuple[Number, Number, Number]
"""Left, right and height of words, in pixels."""


@dataclass(frozen=True)
class Panel:
    """A rectangle of the chart, in pixels, and the numbers at its edges."""

    left: Number
    top: Number
    width: Number
    height: Number
    low: Number
    high: Number
    most: Number = 1

    def x(self, value: Number) -> float:
        """Pixels from the left for a value between `low` and `high`."""
        return self.left + self.width * (value - self.low) / (self.high - self.low)

    def y(self, share: Number) -> float:
        """Pixels from the top for a share between 0 and `most`."""
        return self.top + self.height * (1 - share / self.most)


def tag(name: str, content: str = "", **attributes: object) -> str:
    """One element; numbers are written with one decimal, `class_` is `class`, `_` is `-`."""
    words = [
        f'{key.rstrip("_").replace("_", "-")}="{escape(_word(value))}"'
        for key, value in attributes.items()
    ]
    return f"<{' '.join([name, *words])}>{content}</{name}>"


def _word(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def text(x: Number, y: Number, words: str, anchor: str = "start", class_: str = "label") -> str:
    """Words at a point."""
    return tag("text", escape(words), x=x, y=y, text_anchor=anchor, class_=class_)


def svg(width: Number, height: Number, title: str, parts: Iterable[str]) -> str:
    """The whole chart; `title` is what a screen reader says."""
    return tag(
        "svg",
        tag("title", escape(title)) + "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        class_="chart",
    )


def standalone(chart: str) -> str:
    """The chart as a file that brings its own colours."""
    style = (files("bench.report") / "page" / "chart.css").read_text(encoding="utf-8")
    head, _, rest = chart.partition("</title>")
    return f"{head}</title><style>{style}</style>{rest}\n"


def epsilon_curve(curve: Curve) -> str:
    """Accuracy against epsilon for one norm: the line, and the measured points with intervals."""
    last = curve.points[-1].epsilon
    panel = Panel(38, 26, 200, 120, 0, last * 1.08)
    path = " ".join(f"{panel.x(e):.1f},{panel.y(a):.1f}" for e, a in curve.line)
    parts = [text(38, 14, symbol(curve.norm), class_="label strong"), *_shares(panel)]
    parts += [text(panel.x(e), 164, _number(e), "middle") for e in (0, last / 2, last)]
    parts += [text(panel.x(last / 2), 180, "ε", "middle")]
    band = " ".join(f"{panel.x(e):.1f},{panel.y(a):.1f}" for e, a in _floor(curve))
    parts.append(tag("polygon", points=f"{path} {band}", class_=f"band {curve.norm}"))
    parts.append(tag("polyline", points=path, class_=f"line {curve.norm}"))
    for point in curve.points:
        x, low, high = panel.x(point.epsilon), *map(panel.y, point.interval)
        parts.append(tag("line", x1=x, x2=x, y1=low, y2=high, class_=f"whisker {curve.norm}"))
        parts.append(tag("circle", cx=x, cy=panel.y(point.accuracy), r=3.5, class_=curve.norm))
    ends = f"{percent(curve.line[0][1])} % at 0, {percent(curve.line[-1][1])} % at {_number(last)}"
    return svg(250, 186, f"Accuracy against {curve.norm} epsilon: {ends}", parts)


def _floor(curve: Curve) -> list[tuple[float, float]]:
    """The least that accuracy can be below the measured points, which it can't fall under: a
    smaller epsilon never makes a model weaker. From the right to the left."""
    steps = [
        corner
        for left, right in zip(curve.points, curve.points[1:], strict=False)
        for corner in ((left.epsilon, right.accuracy), (right.epsilon, right.accuracy))
    ]
    return steps[::-1]


def cost(rows: Sequence[Cells]) -> str | None:
    """Passes spent on training against the union, for the rows that say what they cost."""
    known = [(row, spent) for row in rows if (spent := passes(row))]
    if not known:
        return None
    low = math.floor(math.log10(min(spent for _, spent in known)))
    high = max(math.ceil(math.log10(max(spent for _, spent in known))), low + 1)
    most = math.ceil(5 * max(row["union_high"] for row, _ in known)) / 5
    panel = Panel(38, 12, 420, 180, low, high, most)
    parts = _shares(panel)
    parts += [text(panel.x(k), 210, f"10{_superscript(k)}", "middle") for k in range(low, high + 1)]
    parts.append(text(248, 228, "passes spent on training (images forward and backward)", "middle"))
    dots = [(panel.x(math.log10(spent)), panel.y(row["union"])) for row, spent in known]
    taken: list[Span] = [(x - 5, x + 5, y + 4) for x, y in dots]
    for (row, spent), (x, y) in zip(known, dots, strict=True):
        ends = [panel.y(row["union_low"]), panel.y(row["union_high"])]
        name = tag("title", escape(f"{row['defense']}: {percent(row['union'])} %, {spent:,}"))
        mark = tag("line", x1=x, x2=x, y1=ends[0], y2=ends[1], class_="whisker union")
        dot = tag("circle", cx=x, cy=y, r=5, class_="union")
        side = -1 if x > 330 else 1
        beside = _free(x + 8 * side, y + 4, 7 * len(row["defense"]) * side, taken, 196)
        anchor = "end" if x > 330 else "start"
        label = text(x + 8 * side, beside, row["defense"], anchor, "label dot-name")
        first = row["records"].split()[-1][:16]
        parts.append(tag("g", name + mark + dot + label, class_="dot", data_card=first))
    return svg(470, 236, "Training cost against accuracy under the union", parts)


def _free(x: Number, y: Number, width: Number, taken: list[Span], lowest: Number) -> Number:
    """A height near `y` at which words from `x` on cover nothing and stay above `lowest`; it is
    then taken."""
    left, right = sorted((x, x + width))
    heights = sorted((y + 13 * k for k in range(-9, 7)), key=lambda height: abs(height - y))
    for height in (height for height in heights if height <= lowest):
        if all(right < a or left > b or abs(height - at) > 12 for a, b, at in taken):
            break
    taken.append((left, right, height))
    return height


def passes(row: Cells) -> int | None:
    """Images sent forward and backward while training; None when that isn't known."""
    spent = [row["training_forward_passes"], row["training_backward_passes"]]
    return sum(spent) if all(part is not None for part in spent) else None


def ranking(rows: Sequence[Cells]) -> str:
    """Every row's accuracies as points with their intervals, best row first; under each threat that
    of the suite which left least standing."""
    names = [f"{rank(row)}  {row['defense']}" for row in rows]
    left = max(170, 20 + 7 * max(map(len, names)))
    panel = Panel(left, 30, 400, 34 * len(rows), 0, 1)
    parts = [text(left + 100 * k, 18, f"{25 * k} %", "middle") for k in range(5)]
    edges = [panel.x(k / 4) for k in range(5)]
    bottom = panel.top + panel.height
    parts += [tag("line", x1=x, x2=x, y1=panel.top, y2=bottom, class_="grid") for x in edges]
    for place, (row, who) in enumerate(zip(rows, names, strict=True)):
        y = panel.top + 34 * place + 17
        parts.append(text(left - 10, y + 4, who, "end"))
        shown = _least(row)
        for k, name in enumerate(shown.values()):
            height, norm = y + 5 * (k - (len(shown) - 1) / 2), name.partition(":")[0]
            ends = [panel.x(row[f"{name}_{end}"]) for end in ("low", "high")]
            title = tag("title", escape(f"{name}: {percent(row[name])} %"))
            parts.append(
                tag("line", x1=ends[0], x2=ends[1], y1=height, y2=height, class_=f"whisker {norm}")
            )
            parts.append(tag("circle", title, cx=panel.x(row[name]), cy=height, r=2.5, class_=norm))
    parts += _legend(_least(rows[0]), bottom + 22)
    return svg(left + 420, bottom + 34, "Accuracies with their 95 % intervals", parts)


def drawn(rows: Sequence[Cells]) -> dict[str, str]:
    """A table's charts as files, by their names, which any file system takes."""
    name = f"{rows[0]['dataset']}-{short(rows[0]['protocol'])}"
    name = re.sub(r"[^\w.-]+", "-", name)
    charts = {f"{name}-ranking.svg": ranking(rows), f"{name}-cost.svg": cost(rows)}
    return {file: standalone(chart) for file, chart in charts.items() if chart}


def _least(row: Cells) -> dict[str, str]:
    """The measured column with the lowest accuracy under each threat; `clean` and `union` too."""
    least: dict[str, str] = {}
    for name in measured(row):
        threat = name.rpartition("/")[0] or name
        if threat not in least or row[name] < row[least[threat]]:
            least[threat] = name
    return least


def _legend(names: Iterable[str], y: Number) -> list[str]:
    parts, x = [], 20.0
    for name in names:
        parts.append(tag("circle", cx=x, cy=y - 4, r=4, class_=name.partition(":")[0]))
        words = symbol(name)
        parts.append(text(x + 8, y, words))
        x += 24 + 7 * len(words)
    return parts


def _shares(panel: Panel) -> list[str]:
    """Grid lines at every quarter of the panel, named in percent."""
    right, parts = panel.left + panel.width, []
    for k in range(5):
        y = panel.y(panel.most * k / 4)
        parts.append(tag("line", x1=panel.left, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(text(panel.left - 6, y + 4, f"{25 * panel.most * k:g}", "end"))
    return parts


def _number(value: Number) -> str:
    return f"{value:.3g}"


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))

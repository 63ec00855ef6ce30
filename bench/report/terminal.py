"""A table for a terminal of 80 columns: below every accuracy its interval, suite below suite."""

from collections.abc import Iterable

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from bench.report.wording import (
    RANKS,
    attacked,
    bounds,
    percent,
    rank,
    remarks,
    scope,
    short,
    title,
)
from leaderboard.frame import Cells

ROOMY, MOST = 12, 20
"""Characters of a name's longest word that 80 columns have room for: with wide gaps, and at all."""


def to_text(tables: Iterable[list[Cells]], top: int | None = None) -> str:
    """All tables, as wide and as colourful as the standard output is."""
    console = Console(highlight=False)
    with console.capture() as capture:
        for rows in tables:
            console.print(render(rows, top), "")
    return capture.get().rstrip()


def render(rows: list[Cells], top: int | None = None) -> Group:
    """The rows of one table, which are not empty; ranked rows first, flagged rows apart.

    `top` shows only that many of each.
    """
    ranked = [row for row in rows if row["rank_low"] is not None]
    flagged = [row for row in rows if row["rank_low"] is None]
    parts: list[RenderableType] = [Text(title(rows[0]), "bold"), Text(_legend(rows[0]), "dim")]
    if ranked:
        parts += [_grid(ranked[:top]), *_hidden(ranked, top)]
    if flagged:
        parts += [Text("Not ranked: an audit flag is open", "bold yellow")]
        parts += [_grid(flagged[:top]), *_hidden(flagged, top), *map(_reason, flagged[:top])]
    return Group(*parts, *([Text(RANKS, "dim")] if ranked else []))


def _grid(rows: list[Cells]) -> RichTable:
    columns = attacked(rows[0]).values()
    suites = list(dict.fromkeys(column.suite for column in columns))
    longest = _longest(rows)
    gap = 1 if longest <= ROOMY else 0
    grid = RichTable(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), pad_edge=False)
    grid.add_column("#", justify="right", no_wrap=True)
    grid.add_column("defense\n[dim]arch", overflow="fold", min_width=longest)
    if len(suites) > 1:
        grid.add_column("suite")
    grid.add_column("clean", justify="right")
    for threat in dict.fromkeys(column[:2] for column in columns):
        grid.add_column("{}\n[dim]{}".format(*threat), justify="right")
    grid.add_column("union", justify="right", style="bold")
    grid.add_column("weights\n[dim]runs, flags", overflow="fold", min_width=8)
    for row in rows:
        grid.add_row(*_row(row, suites))
    return grid


def _longest(rows: list[Cells]) -> int:
    """Room for the longest word of a name, which is then not broken, as far as 80 columns allow."""
    words = " ".join(f"{row['defense']} {row['arch']}" for row in rows).split()
    return min(MOST, max(ROOMY, *map(len, words)))


def _row(row: Cells, suites: list[str]) -> list[str]:
    by_threat: dict[str, list[str]] = {}
    for name, column in attacked(row).items():
        by_threat.setdefault(column.threat, []).append(_accuracy(row, name))
    return [
        rank(row),
        f"{escape(row['defense'])}\n[dim]{escape(row['arch'])}",
        *(["\n\n".join(suites)] if len(suites) > 1 else []),
        _accuracy(row, "clean"),
        *map("\n".join, by_threat.values()),
        _accuracy(row, "union"),
        f"{short(row['weights'])}\n[dim]{escape(' '.join(remarks(row)))}",
    ]


def _accuracy(row: Cells, column: str) -> str:
    return f"{percent(row[column])}\n[dim]{bounds(row, column, 0)}[/dim]"


def _legend(row: Cells) -> str:
    return f"{scope(row)}; % correct over its 95 % interval"


def _hidden(rows: list[Cells], top: int | None) -> list[Text]:
    more = len(rows) - len(rows[:top])
    return [Text(f"… {more:,} more rows: see --top", "dim")] if more else []


def _reason(row: Cells) -> Text:
    return Text(f"{row['defense']}, {row['flags']}: {row['reason']}")

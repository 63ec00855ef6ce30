"""A table for a terminal: each row takes two lines, accuracies and below them their intervals.

A wide terminal has a column for each threat and suite, one of 80 columns a column for each threat;
where names need the room, hashes and runs are left out. Names are broken inside a word, and then
threats left out, only where the rest does not fit otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from bench.report.combined import accuracies
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
    together,
)
from leaderboard.frame import Cells, cells
from leaderboard.ranking import Table


def to_text(tables: Iterable[Table], top: int | None = None) -> str:
    """All tables, as wide and as colourful as the standard output is."""
    console = Console(highlight=False)
    with console.capture() as capture:
        for table in tables:
            console.print(render(table, console.width, top), "")
    return capture.get().rstrip()


def render(table: Table, width: int, top: int | None = None) -> Group:
    """The rows of one table, which are not empty; ranked rows first, flagged rows apart.

    `top` shows only that many of each.
    """
    pairs = list(zip(table.rows, cells(table), strict=True))
    ranked, flagged = (
        [pair for pair in pairs if (pair[0].ranks is None) == without] for without in (False, True)
    )
    better, others = ([accuracies(*pair) for pair in rows[:top]] for rows in (ranked, flagged))
    head = pairs[0][1]
    layout = _layout(head, [*better, *others], width)
    note = f"{scope(head)}; % correct over its 95 % interval{layout.note}"
    parts: list[RenderableType] = [Text(title(head), "bold"), Text(note, "dim")]
    if ranked:
        parts += [layout.grid(better), *_hidden(len(ranked) - len(better))]
    if flagged:
        parts += [Text("Not ranked: an audit flag is open", "bold yellow")]
        parts += [layout.grid(others), *_hidden(len(flagged) - len(others)), *map(_reason, others)]
    return Group(*parts, *([Text(RANKS, "dim")] if ranked else []))


@dataclass(frozen=True)
class _Layout:
    """Which columns a table has."""

    threats: dict[str, Text]
    """The accuracies between `clean` and `union`, with their headings."""
    note: str = ""
    """What the columns of threats mean."""
    gap: int = 0
    """Blanks between columns, besides the one that is always there."""
    hashes: bool = True
    """Whether weights, runs, arithmetic and flags are shown."""
    longest: int | None = None
    """The width at which names are broken; None for never inside a word."""

    def grid(self, rows: list[Cells]) -> RichTable:
        """The rows, whose numbers are never broken."""
        grid = RichTable(box=box.SIMPLE_HEAD, padding=(0, self.gap, 0, 0), pad_edge=False)
        names = " ".join(f"{row['defense']} {row['arch']}" for row in rows)
        grid.add_column("#", justify="right", no_wrap=True)
        word = max(map(len, names.split()))
        grid.add_column(
            _lines("defense", dim="arch"),
            min_width=min(word, self.longest or word),
            max_width=self.longest,
            overflow="fold",
        )
        for heading in (Text("clean"), *self.threats.values()):
            grid.add_column(heading, justify="right", no_wrap=True)
        grid.add_column("union", justify="right", no_wrap=True, style="bold")
        if self.hashes:
            grid.add_column(_lines("weights", dim="runs, flags"), no_wrap=True)
        for row in rows:
            grid.add_row(*self._row(row))
        return grid

    def _row(self, row: Cells) -> list[Text]:
        runs, arithmetic, flags = remarks(row)
        hashes = _lines(f"{short(row['weights'])} {arithmetic}", dim=f"{runs} {flags}".strip())
        return [
            Text(rank(row)),
            _lines(row["defense"], dim=row["arch"]),
            *(_accuracy(row, column) for column in ("clean", *self.threats, "union")),
            *([hashes] if self.hashes else []),
        ]


def _layout(head: Cells, rows: list[Cells], width: int) -> _Layout:
    """The richest layout that fits the width without breaking a line; or else the smallest."""
    columns = attacked(head)
    each = {
        name: _lines(column.norm, column.epsilon, dim=column.suite)
        for name, column in columns.items()
    }
    combined = {
        column.threat: _lines(column.norm, dim=column.epsilon) for column in columns.values()
    }
    note = together(head)
    layouts = [_Layout(each, gap=gap) for gap in (1, 0) if note]
    note = note and f"; {note}"
    layouts += [_Layout(combined, note, gap) for gap in (1, 0)]
    layouts += [_Layout(combined, note, hashes=False, longest=width) for width in (None, 20, 10)]
    hidden = "; a wider terminal shows the threats"
    layouts += [_Layout({}, hidden, hashes=False, longest=width) for width in (20, 8)]
    endless = Console(width=10_000)
    fitting = (one for one in layouts if endless.measure(one.grid(rows)).maximum <= width)
    return next(fitting, layouts[-1])


def _accuracy(row: Cells, column: str) -> Text:
    return _lines(percent(row[column]), dim=bounds(row, column, 0))


def _lines(*lines: str, dim: str) -> Text:
    """Lines of which the last one is dim; names in them are no markup."""
    return Text("\n").join([*map(Text, lines), Text(dim, "dim")])


def _hidden(more: int) -> list[Text]:
    return [Text(f"… {more:,} more rows: see --top", "dim")] if more else []


def _reason(row: Cells) -> Text:
    return Text(f"{row['defense']}, {row['flags']}: {row['reason']}")

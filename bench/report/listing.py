"""A table under a title, for output other than the leaderboard."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.report.markdown import escaped, line

MOST = 18
"""Characters of a column's longest word that are never broken."""
EDGE = 2
"""Characters between columns."""

_NUMERIC = tuple("0123456789.+-–<")


@dataclass(frozen=True)
class Listing:
    """Text in rows and columns."""

    title: str
    """The heading."""
    note: str
    """What the columns mean."""
    head: tuple[str, ...]
    """The columns' names."""
    rows: list[tuple[str, ...]]
    """One cell for each column."""

    @property
    def sides(self) -> list[Literal["left", "right"]]:
        """Columns are aligned to the right where every cell begins like a number."""
        columns = zip(*self.rows, strict=True) if self.rows else [("",)] * len(self.head)
        numeric = [all(cell.startswith(_NUMERIC) for cell in column) for column in columns]
        return ["right" if right else "left" for right in numeric]


def render(listings: Iterable[Listing], form: str) -> str:
    """The listings as `markdown` or for the `terminal`."""
    return _markdown(listings) if form == "markdown" else _terminal(listings)


def _markdown(listings: Iterable[Listing]) -> str:
    return "\n".join(_section(listing) for listing in listings)


def _section(listing: Listing) -> str:
    rules = [{"left": ":--", "right": "--:"}[side] for side in listing.sides]
    body = [line(listing.head), line(rules), *map(line, listing.rows)]
    head = [f"### {escaped(listing.title)}", "", escaped(listing.note), ""]
    return "\n".join([*head, *body, ""])


def _terminal(listings: Iterable[Listing]) -> str:
    console = Console(highlight=False)
    with console.capture() as capture:
        for listing in listings:
            console.print(Text(listing.title, "bold"), Text(listing.note, "dim"), sep="\n")
            for part in _parts(listing, console.width) if listing.rows else ():
                # A column that cannot fit is wrapped by the terminal: nothing is cut off.
                console.print(_grid(part, console.width), crop=False)
    return capture.get().rstrip()


def _parts(listing: Listing, room: int) -> Iterator[Listing]:
    """The listing, or several with its columns in turn where the room is short; each begins with
    its first column."""
    least = [_least(column) + EDGE for column in zip(listing.head, *listing.rows, strict=True)]
    chosen = [0]
    for k in range(1, len(least)):
        if len(chosen) > 1 and sum(least[one] for one in chosen) + least[k] > room:
            yield _columns(listing, chosen)
            chosen = [0]
        chosen.append(k)
    yield _columns(listing, chosen)


def _columns(listing: Listing, chosen: Sequence[int]) -> Listing:
    head, *rows = [tuple(row[k] for k in chosen) for row in (listing.head, *listing.rows)]
    return replace(listing, head=head, rows=rows)


def _grid(listing: Listing, room: int) -> RichTable:
    columns = list(zip(listing.head, *listing.rows, strict=True))
    edges = EDGE * len(columns)
    widths = _widths(columns, room - edges)
    grid = RichTable(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, width=sum(widths) + edges
    )
    for name, side, width in zip(listing.head, listing.sides, widths, strict=True):
        grid.add_column(Text(name), justify=side, overflow="fold", width=width)
    for row in listing.rows:
        grid.add_row(*map(Text, row))
    return grid


def _widths(columns: list[tuple[str, ...]], room: int) -> list[int]:
    """The width of each column: as its longest line, or less where the room is short, but enough
    for its words."""
    widths = [
        max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns
    ]
    least = [_least(column) for column in columns]
    while sum(widths) > room and (
        wide := [k for k, width in enumerate(widths) if width > least[k]]
    ):
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _least(column: Iterable[str]) -> int:
    return min(MOST, max((cell_len(word) for cell in column for word in cell.split()), default=1))

"""Tables for the eye and for programs: pure functions from the rows of tables to text.

from leaderboard.frame import cells
from leaderboard.ranking import tables
from leaderboard.store import Board

text = render([cells(table) for table in tables(Board(path).records())], "markdown")
"""

from bench.report import listing, listings, machine, markdown, terminal
from leaderboard.frame import Cells

FORMATS = ("terminal", "markdown", "csv", "json")
"""What `render` can write."""


def render(
    tables: list[list[Cells]], form: str, top: int | None = None, published: bool = False
) -> str:
    """All tables, each the rows of `leaderboard.frame.cells`, in one of `FORMATS`.

    `top` shortens the tables of the terminal only. With `published`, RobustBench's figures for the
    same data set, norm and epsilon follow.
    """
    match form:
        case "terminal" | "markdown":
            write = terminal.to_text(tables, top) if form == "terminal" else markdown.render(tables)
            beside = [one for rows in tables for one in listings.beside(rows)] if published else []
            return "\n\n".join([write, listing.render(beside, form)]) if beside else write
        case "csv":
            return machine.to_csv(tables, published)
        case "json":
            return machine.to_json(tables, published)
        case _:
            raise ValueError(f"no format '{form}'")

"""Tables for the eye and for programs: pure functions from the rows of tables to text.

from leaderboard.frame import cells
from leaderboard.ranking import tables
from leaderboard.store import Board

text = render([cells(table) for table in tables(Board(path).records())], "markdown")
"""

from bench.report import machine, markdown, terminal
from leaderboard.frame import Cells

FORMATS = ("terminal", "markdown", "csv", "json")
"""What `render` can write."""


def render(tables: list[list[Cells]], form: str, top: int | None = None) -> str:
    """All tables, each the rows of `leaderboard.frame.cells`, in one of `FORMATS`.

    `top` shortens the tables of the terminal only.
    """
    match form:
        case "terminal":
            return terminal.to_text(tables, top)
        case "markdown":
            return markdown.render(tables)
        case "csv":
            return machine.to_csv(tables)
        case "json":
            return machine.to_json(tables)
        case _:
            raise ValueError(f"no format '{form}'")

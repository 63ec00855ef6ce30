"""Tables for the eye and for programs: pure functions from tables to text.

from leaderboard.ranking import tables
from leaderboard.store import Board

text = render(tables(Board(path).records()), "markdown")
"""

from pathlib import Path

from leaderboard.frame import cells
from leaderboard.ranking import Table

FORMATS = ("terminal", "markdown", "html", "csv", "json")
"""What `render` can write."""


def render(
    tables: list[Table],
    form: str,
    *,
    top: int | None = None,
    published: bool = False,
    board: Path | None = None,
    compact: bool = False,
) -> str:
    """All tables in one of `FORMATS`.

    `top` shortens the tables of the terminal only, and `compact` is a form of markdown: one line a
    recipe, one column a threat. With `published`, RobustBench's figures for the
    same data set, norm and epsilon stand beside. The page (`html`) takes what its cards show from
    the evidence in the folder `board`.

    Raises:
        ValueError: there is no such format.
    """
    if form == "html":
        from bench.report import html

        return html.render(tables, board, published)
    if form not in FORMATS:
        raise ValueError(f"no format '{form}'; choose from {', '.join(FORMATS)}")
    rows = [cells(table) for table in tables]
    if form in ("csv", "json"):
        from bench.report import machine

        return (machine.to_csv if form == "csv" else machine.to_json)(rows, published)
    from bench.report import listing, listings

    if form == "terminal":
        from bench.report import terminal

        text = terminal.to_text(tables, top)
    elif compact:
        from bench.report import compact as summary

        text = summary.render(tables)
    else:
        from bench.report import markdown

        text = markdown.render(rows)
    beside = [one for table in rows for one in listings.beside(table)] if published else []
    return "\n\n".join([text, listing.render(beside, form)]) if beside else text


def files(
    tables: list[Table],
    form: str,
    out: Path,
    *,
    published: bool = False,
    board: Path | None = None,
    compact: bool = False,
) -> dict[Path, str]:
    """What to write where: one file `out`; for `svg` the charts, in a folder of that name."""
    if form != "svg":
        text = render(tables, form, published=published, board=board, compact=compact)
        return {out: text}
    from bench.report import charts

    drawn = [charts.drawn(cells(table)) for table in tables]
    return {out / name: text for one in drawn for name, text in one.items()}

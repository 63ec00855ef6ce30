"""Leaderboard tables for readers and for programs: pure functions from tables to text.

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

    `top` shortens the tables of the terminal only. `compact` is a shorter form of markdown: one
    line a recipe, one column a threat. With `published`, RobustBench's figures for the same data
    set, norm and epsilon are added. The page (`html`) takes what its cards show from the evidence
    in the folder `board`.

    Raises:
        ValueError: there is no such format.
    """
    if form not in FORMATS:
        raise ValueError(f"no format '{form}'; choose from {', '.join(FORMATS)}")
    if form == "html":
        from bench.report import html

        return html.render(tables, board, published)
    if form in ("csv", "json"):
        from bench.report import machine

        write = machine.to_csv if form == "csv" else machine.to_json
        return write([cells(table) for table in tables], published)
    text = _text(tables, form, top, compact)
    if not published:
        return text
    from bench.report import listing, listings

    figures = [one for table in tables for one in listings.with_published(cells(table))]
    return "\n\n".join([text, listing.render(figures, form)]) if figures else text


def _text(tables: list[Table], form: str, top: int | None, compact: bool) -> str:
    if form == "terminal":
        from bench.report import terminal

        return terminal.to_text(tables, top)
    if compact:
        from bench.report import compact as summary

        return summary.render(tables)
    from bench.report import markdown

    return markdown.render([cells(table) for table in tables])


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

"""`bench report`: records to the leaderboard."""

from pathlib import Path

import click

from bench.cli import _board
from bench.cli import _options as options


@click.command("report")
@options.board
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown", "csv", "json"]),
    default="terminal",
    show_default=True,
    help="What to write.",
)
@click.option("--top", default=50, show_default=True, help="Rows shown on the terminal.")
def command(board: Path, form: str, top: int) -> None:
    """Show the leaderboard of a board."""
    from bench.report import render
    from leaderboard.frame import cells
    from leaderboard.ranking import tables

    records = _board.read(board)
    click.echo(render([cells(table) for table in tables(records)], form, top))

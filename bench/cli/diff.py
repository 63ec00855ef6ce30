"""`bench diff`: the changes between two releases."""

from pathlib import Path

import click

from bench.cli import _board
from bench.cli import _options as options


@click.command("diff")
@click.argument("before", type=int)
@click.argument("after", type=int, required=False)
@options.board
@options.text_format
def command(before: int, after: int | None, board: Path, form: str) -> None:
    """Show the changes from release BEFORE to release AFTER, or to the present board."""
    from bench.report.listing import render
    from bench.report.listings import changes as listing
    from leaderboard.changes import changes

    found = changes(_board.read(board, before), _board.read(board, after))
    now = "now" if after is None else f"release {after}"
    click.echo(render([listing(found, f"release {before}", now)], form))

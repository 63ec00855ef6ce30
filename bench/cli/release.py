"""`bench release`: freeze the present board."""

from pathlib import Path

import click

from bench.cli import _board
from bench.cli import _options as options


@click.command("release")
@options.board
def command(board: Path) -> None:
    """Freeze the board's records and their table as the next numbered release."""
    from datetime import UTC, datetime

    from bench.report import render
    from leaderboard.ranking import tables
    from leaderboard.releases import release
    from leaderboard.store import Board

    records = _board.read(board)
    table = render(tables(records), "markdown")
    frozen = release(Board(board), records, table, datetime.now(UTC).isoformat(timespec="seconds"))
    number = frozen.number
    click.echo(f"release {number}: {len(records)} records; see bench report --release {number}")

"""`bench compare`: two records, example by example."""

from pathlib import Path

import click

from bench.cli import _board
from bench.cli import _options as options


@click.command("compare")
@click.argument("a")
@click.argument("b")
@options.board
@options.text_format
def command(a: str, b: str, board: Path, form: str) -> None:
    """Compare records A and B with McNemar's exact paired test.

    A record is named by the beginning of its id, its file, its model's name or its defense.
    """
    from bench.report.listing import render
    from bench.report.listings import comparison
    from leaderboard.comparison import pick

    click.echo(render([comparison(*pick(_board.read(board), a, b))], form))

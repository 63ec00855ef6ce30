"""`bench compare`: two recipes or two models on the same examples."""

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
    """Compare A and B: recipes over images and seeds, single models by McNemar's exact test.

    A recipe is named as in the leaderboard; a single record by the beginning of its id, its file or
    its model's name.
    """
    from bench.report.listing import render
    from bench.report.listings import comparison
    from leaderboard.comparison import pick

    click.echo(render([comparison(*pick(_board.read(board), a, b))], form))

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
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if --out is out of date.")
@click.option("--release", type=int, help="Show that release instead of the board as it is now.")
@click.option("--with-published", "published", is_flag=True, help="Add RobustBench's figures.")
@click.option("--top", default=50, show_default=True, help="Rows shown on the terminal.")
@click.pass_context
def command(
    context: click.Context,
    board: Path,
    form: str,
    out: Path | None,
    check: bool,
    release: int | None,
    published: bool,
    top: int,
) -> None:
    """Show the leaderboard of a board.

    A FILE that holds the marks `<!-- begin bench report -->` and `<!-- end bench report -->` is
    renewed between them only.
    """
    from bench.report import render
    from bench.report.stale import is_stale, renew
    from leaderboard.frame import cells
    from leaderboard.ranking import tables

    if check and out is None:
        raise click.UsageError("--check needs --out FILE.")
    records = _board.read(board, release)
    text = render([cells(table) for table in tables(records)], form, top, published)
    if out is None:
        click.echo(text)
    elif not check:
        renew(out, text)
    elif is_stale(out, text):
        click.echo(
            f"{out} is out of date; renew it with the same command without --check", err=True
        )
        context.exit(1)

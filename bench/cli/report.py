"""`bench report`: from records to the leaderboard."""

from pathlib import Path

import click

from bench.cli import _board
from bench.cli import _options as options


@click.command("report")
@options.board
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown", "html", "svg", "csv", "json"]),
    default="terminal",
    show_default=True,
    help="Output format.",
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write; for svg, folder.")
@click.option("--check", is_flag=True, help="Write nothing; exit code 1 if --out is out of date.")
@click.option("--release", type=int, help="Show this release instead of the present board.")
@options.protocol_version
@click.option("--with-published", "published", is_flag=True, help="Add RobustBench's figures.")
@click.option("--compact", is_flag=True, help="In markdown: a line a recipe, a column a threat.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Rows shown on the terminal.",
)
@click.pass_context
def command(
    context: click.Context,
    board: Path,
    form: str,
    out: Path | None,
    check: bool,
    release: int | None,
    protocol_version: int | None,
    published: bool,
    compact: bool,
    top: int,
) -> None:
    """Show the leaderboard of a board.

    In a file with the marks `<!-- begin bench report -->` and `<!-- end bench report -->`, only the
    text between them is replaced.
    """
    from bench.report import files, render
    from bench.report.stale import is_stale, renew
    from leaderboard.ranking import tables

    if out is None and (check or form == "svg"):
        raise click.UsageError(f"{'--check' if check else '--format svg'} needs --out PATH.")
    if out is not None and form == "terminal":
        raise click.UsageError("--out needs a --format for files, such as markdown.")
    if compact and form != "markdown":
        raise click.UsageError("--compact needs --format markdown.")
    found = tables(_board.of_version(_board.read(board, release), protocol_version))
    if out is None:
        text = render(found, form, top=top, published=published, board=board, compact=compact)
        click.echo(text, nl=form == "terminal")
        return
    written = files(found, form, out, published=published, board=board, compact=compact)
    for path, text in written.items():
        if not check:
            renew(path, text)
        elif is_stale(path, text):
            click.echo(f"{path} is out of date; run the same command without --check", err=True)
            context.exit(1)

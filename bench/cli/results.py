"""`bench results`: the tables of a campaign."""

from functools import partial
from pathlib import Path

import click

from bench.cli import _options as options


@click.command("results")
@options.campaign_file
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown", "csv", "svg"]),
    default="terminal",
    show_default=True,
    help="Output format; svg is a figure of accuracy against cost, and of the training curves.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@options.protocol_version
def command(file: Path, form: str, out: Path | None, protocol_version: int | None) -> None:
    """Tables of the campaign in FILE: accuracies over seeds, costs, and the comparisons it names.

    They are computed from the records on its boards, also while the campaign runs. Damaged records
    are named on stderr and skipped.
    """
    if out is not None and form == "terminal":
        raise click.UsageError("--out needs a --format for files, such as markdown.")
    from bench.campaign.commands import results
    from bench.files import write_atomic

    text = results(file, form, protocol_version, partial(click.echo, err=True))
    if out is None:
        click.echo(text.rstrip())
    else:
        write_atomic(out, text.encode())

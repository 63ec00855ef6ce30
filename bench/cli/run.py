"""`bench run`: from a campaign's file to records."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.cli import _options as options


@click.command("run")
@options.campaign_file
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes at a time on this machine.  [default: one a GPU, else one a core]",
)
@click.option(
    "--ray",
    metavar="auto|HOST:PORT",
    help="Train and attack on a Ray cluster; auto finds one or starts its own.",
)
@click.option(
    "--storage",
    metavar="URL",
    help="Copy checkpoints and records there, and fetch what is missing here: a folder, "
    "s3://BUCKET/PATH, or any other address of fsspec.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    help="Stop after this time; the same command resumes.",
)
@click.option("--dry-run", is_flag=True, help="Forecast the cost from a few steps of every recipe.")
@options.display
def command(file: Path, dry_run: bool, **rest: Any) -> None:  # noqa: ANN401
    """Train, evaluate and record all runs of the campaign in FILE.

    Finished steps are not repeated; after a stop, the same command resumes.
    """
    from bench.campaign.commands import dry_run as forecast
    from bench.campaign.commands import run

    if dry_run:
        click.echo(forecast(file, rest["jobs"], rest["display"]))
        return
    code = run(file, write_progress=partial(click.echo, err=True), notify=click.echo, **rest)
    click.get_current_context().exit(code)

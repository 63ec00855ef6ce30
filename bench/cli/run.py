"""`bench run`: a campaign's file to records."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.cli import _campaign
from bench.cli import _options as options


@click.command("run")
@_campaign.file
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
    help="Keep checkpoints and records there too, and fetch what is missing here: a folder, "
    "s3://BUCKET/PATH, or any other address of fsspec.",
)
@click.option(
    "--minutes", type=click.FloatRange(min=0), help="Stop after so long; it can go on later."
)
@click.option(
    "--dry-run", is_flag=True, help="Say what it would cost, from a few steps of every recipe."
)
@options.display
def command(file: Path, dry_run: bool, **rest: Any) -> None:  # noqa: ANN401
    """Train, evaluate and record all runs of the campaign in FILE.

    What is done is not done again; after a stop, the same command goes on.
    """
    from bench.campaign.command import dry_run as cost
    from bench.campaign.command import work

    if dry_run:
        click.echo(cost(file, rest["jobs"], rest["display"]))
        return
    code = work(file, write=partial(click.echo, err=True), say=click.echo, **rest)
    click.get_current_context().exit(code)

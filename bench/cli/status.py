"""`bench status`: where a campaign stands."""

from pathlib import Path

import click

from bench.cli import _campaign


@click.command("status")
@_campaign.file
@click.option("--all", "every", is_flag=True, help="Show what waits and what is done as well.")
@click.option("--json", "plain", is_flag=True, help="Every step as JSON.")
def command(file: Path, every: bool, plain: bool) -> None:
    """Show the steps of the campaign in FILE that run or failed, and how many others there are."""
    from bench.campaign.command import status

    click.echo(status(file, every=every, plain=plain))

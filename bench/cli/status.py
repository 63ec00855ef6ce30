"""`bench status`: the state of a campaign."""

from pathlib import Path

import click

from bench.cli import _options as options


@click.command("status")
@options.campaign_file
@click.option("--all", "all_steps", is_flag=True, help="Show waiting and finished steps too.")
@click.option("--json", is_flag=True, help="Every step as JSON.")
def command(file: Path, all_steps: bool, json: bool) -> None:
    """Show the running and failed steps of the campaign in FILE, and count the others."""
    from bench.campaign.commands import status

    click.echo(status(file, all_steps=all_steps, json=json))

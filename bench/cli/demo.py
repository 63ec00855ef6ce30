"""`bench demo`: training, attacks and ranking in about a minute."""

from pathlib import Path

import click

from bench.cli import _options as options


@click.command("demo")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for checkpoints and the board.",
)
@options.display
def command(folder: Path, display: str | None) -> None:
    """Train defenses on digits, attack them under three norms and their union, rank them.

    Needs no network, and about a minute on two cores.
    """
    from bench.campaign.demo import run_demo
    from bench.display import shown
    from bench.report import render
    from leaderboard.ranking import tables

    with shown(display) as progress:
        records = list(run_demo(folder, progress))
    click.echo(render(tables(records), "terminal"))
    click.echo(f"\nThe records and their evidence: bench report --board {folder / 'board'}")

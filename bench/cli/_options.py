"""Options that several commands share."""

from pathlib import Path

import click

board = click.option(
    "--board",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("board"),
    show_default=True,
    help="Folder that holds the records and their evidence.",
)
display = click.option(
    "--display",
    type=click.Choice(["rich", "plain", "json", "none"]),
    help="How to show progress.  [default: rich on a terminal, else plain]",
)
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of the attacks' randomness.",
)
text_format = click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown"]),
    default="terminal",
    show_default=True,
    help="Output format.",
)
protocol_version = click.option(
    "--protocol-version",
    type=click.IntRange(min=1),
    help="Show records of this version of the protocol.  [default: the newest]",
)

"""What the commands on campaigns have in common."""

from pathlib import Path

import click

file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))

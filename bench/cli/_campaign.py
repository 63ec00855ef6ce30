"""Shared arguments of the commands on campaigns."""

from pathlib import Path

import click

file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))

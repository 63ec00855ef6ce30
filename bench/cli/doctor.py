"""`bench doctor`: what this machine offers."""

from pathlib import Path

import click


@click.command("doctor")
def command() -> None:
    """Show versions, devices, arithmetic and free disk, and which extras are missing."""
    from bench.doctor import environment, extras

    rows = [*environment(Path()), *((f"extra {name}", what) for name, what in extras())]
    width = max(len(name) for name, _ in rows)
    for name, what in rows:
        click.echo(f"{name:{width}}  {what}")

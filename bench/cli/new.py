"""`bench new defense NAME`: a file to start from."""

from pathlib import Path

import click


@click.group("new")
def command() -> None:
    """Write the beginning of a plugin of your own."""


@command.command("defense")
@click.argument("name")
def defense(name: str) -> None:
    """Write a defense that already trains, its test, and its line in the documents.

    In a checkout they go where such files are; elsewhere into the present folder.
    """
    from bench.plugins.scaffold import new_defense

    written = new_defense(name, Path())
    for path in written:
        click.echo(f"wrote {path}")
    source = written[0]
    click.echo(f"next: bench train {source if len(written) == 2 else name}")

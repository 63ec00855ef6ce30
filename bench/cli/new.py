"""`bench new defense NAME`: a template."""

from pathlib import Path

import click


@click.group("new")
def command() -> None:
    """Write a template of a plugin."""


@command.command("defense")
@click.argument("name")
def defense(name: str) -> None:
    """Write a template of a defense, its test, and its line in the documentation.

    In a checkout the files are written to defenses and tests; elsewhere to the current folder.
    """
    from bench.plugins.scaffold import new_defense

    written = new_defense(name, Path())
    for path in written:
        click.echo(f"wrote {path}")
    source = written[0]
    click.echo(f"next: bench train {source if len(written) == 2 else name}")

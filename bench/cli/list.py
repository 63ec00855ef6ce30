"""`bench list KIND`: the available defenses, attacks and so on, and where they are defined."""

import click


@click.command("list")
@click.argument(
    "kind",
    type=click.Choice(["defenses", "attacks", "suites", "datasets", "budgets", "models"]),
)
def command(kind: str) -> None:
    """Show every defense, attack, suite, data set, budget set or model, and where it is defined.

    Plugins of installed packages are included, and not imported.
    """
    from bench.catalogue import rows

    found = rows(kind)
    name, origin = (max(len(row[column]) for row in found) for column in (0, 1))
    for row in found:
        click.echo(f"{row[0]:{name}}  {row[1]:{origin}}  {row[2]}".rstrip())

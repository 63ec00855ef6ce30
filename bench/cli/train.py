"""`bench train DEFENSE`: from a defense to a checkpoint."""

import click

from bench.cli._training import training


class Defenses(click.Group):
    """A command for each defense, whose options are the defense's fields."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The keys of all defenses."""
        from bench.plugins.registry import defenses

        return sorted(defenses())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """The command of a defense, or of one in a Python file."""
        return training(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and origins; descriptions would require importing every defense."""
        from bench.plugins.registry import defenses

        with formatter.section("Defenses"):
            formatter.write_dl([(name, entry.origin) for name, entry in defenses().items()])


command = Defenses(
    "train",
    subcommand_metavar="DEFENSE [OPTIONS]",
    help="Train a defense, or your own in FILE.py. 'bench train DEFENSE --help' lists its options.",
)

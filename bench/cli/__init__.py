"""The command line: each module of this package defines the command of its name."""

import importlib
import io
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from bench.errors import CrossfireError, unknown
from leaderboard.errors import LeaderboardError


class Commands(click.Group):
    """Imports a command when it is used, and reports a user's error in one line.

    Exit codes: 0 done, 1 a check or a step of a campaign failed, 2 an error in the input or a
    record that could be checked in part only, 130 interrupted.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the public modules of this package."""
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The attribute `command` of the module of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but the error of an unknown command names the closest one."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            raise unknown("command", args[0], names)
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> NoReturn:
        """Run one command and exit; errors are one line on stderr, never a traceback."""
        extra["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # terminals without Unicode
        # Busy-waiting threads make small networks 6 times slower on a shared machine.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            code = super().main(args, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "bench"
            _fail(f"{error.format_message()} See '{path} --help'.")
        except click.ClickException as error:
            _fail(error.format_message())
        except (CrossfireError, LeaderboardError) as error:
            _fail(str(error))
        except OSError as error:
            _fail(f"{error.strerror or error}: {error.filename or 'check the disk'}")
        except click.Abort:
            _fail("interrupted; train, evaluate and run resume with the same command", code=130)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int = 2) -> NoReturn:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)


@click.group("bench", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="crossfire-bench", message="%(version)s")
def main() -> None:
    """Train adversarial defenses, measure them under linf, l2, l1 and their union, rank them.

    The default data set is digits, which needs no network. First steps:

    \b
      bench train at
      bench evaluate --threat union
      bench report
    """

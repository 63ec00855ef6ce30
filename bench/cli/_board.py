"""What the commands that read a board have in common."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from leaderboard.schema import Record


def read(folder: Path) -> "list[Record]":
    """The records of a board, oldest first; damaged ones are named on stderr and left out.

    Raises:
        CrossfireError: there is no record.
    """
    from bench.errors import CrossfireError
    from leaderboard.store import Board

    contents = Board(folder).read()
    for line in contents.damaged:
        click.echo(f"warning: {line}", err=True)
    if not contents.records:
        raise CrossfireError(
            f"no records in {folder}; make one with: bench evaluate --threat union"
        )
    return contents.records

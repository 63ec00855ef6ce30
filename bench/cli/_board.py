"""Shared code of the commands that read a board."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from leaderboard.schema import Record


def read(folder: Path, release: int | None = None) -> "list[Record]":
    """The records of a board or of one of its releases, oldest first.

    Damaged records are named on stderr and skipped.

    Raises:
        CrossfireError: there is no record.
        LeaderboardError: there is no such release, or it is incomplete.
    """
    import gc

    from bench.errors import CrossfireError
    from leaderboard.releases import frozen_records, get
    from leaderboard.store import Board

    board = Board(folder)
    if release is not None:
        return frozen_records(board, get(board, release))
    contents = board.read()
    for line in contents.damaged:
        click.echo(f"warning: {line}", err=True)
    if not contents.records:
        raise CrossfireError(
            f"no records in {folder}; make one with: bench evaluate --threat union"
        )
    # The records are used until the process ends: spare the garbage collector their traversal.
    gc.freeze()
    return contents.records


def of_version(records: "list[Record]", version: int | None) -> "list[Record]":
    """The records of one protocol version; without a version those of the newest, and a line on
    stderr says how many are left out.

    Raises:
        CrossfireError: there is none of that version.
    """
    from bench.errors import CrossfireError
    from leaderboard.versions import newest

    chosen = [r for r in records if r.protocol.version == version] if version else newest(records)
    if not chosen:
        others = ", ".join(map(str, sorted({record.protocol.version for record in records})))
        raise CrossfireError(
            f"no record of protocol version {version}; there are records of {others}"
        )
    shown = {record.id for record in chosen}
    older = [record.protocol.version for record in records if record.id not in shown]
    if version is None and older:
        former = max(older)
        click.echo(
            f"{len(older)} records of older protocol versions are left out; "
            f"--protocol-version {former} shows those of version {former}",
            err=True,
        )
    return chosen

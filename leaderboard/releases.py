"""Numbered, frozen lists of a board's records: the state of the leaderboard on one day.

    releases/0001.json      ids of the records (which are the hashes of their content) and the
                            table as it was rendered

A release is never written twice. Two processes that release at once get two numbers.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from leaderboard.errors import LeaderboardError
from leaderboard.fields import Part, from_text, read
from leaderboard.schema import Record, digest
from leaderboard.store import Board


@dataclass(frozen=True)
class Release(Part):
    """One frozen state of a board."""

    number: int
    """Counted from 1."""
    created: str
    """When it was frozen: ISO 8601, UTC."""
    records: tuple[str, ...]
    """Ids of the records, which are the sha256 of their content, oldest first."""
    table: tuple[str, ...]
    """The lines of the leaderboard in markdown, as they were then."""
    schema: int = 1
    """Version of this format."""
    id: str = field(default="", compare=False)
    """sha256 of the canonical JSON without this field; computed when empty."""

    def _check(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", digest(dataclasses.asdict(self)))


def release(board: Board, records: Sequence[Record], table: str, created: str) -> Release:
    """Freeze `records` and their rendered table as the board's next release.

    Raises:
        LeaderboardError: nothing is new since the last release, or the folder can't be written.
    """
    ids = tuple(record.id for record in records)
    last = latest(board)
    if last and get(board, last).records == ids:
        raise LeaderboardError(
            f"nothing has changed since release {last}; evaluate something first"
        )
    while True:
        last += 1
        frozen = Release(last, created, ids, tuple(table.splitlines()))
        text = json.dumps(dataclasses.asdict(frozen), indent=1, ensure_ascii=False) + "\n"
        if board.create(_name(last), text):
            return frozen


def latest(board: Board) -> int:
    """The number of the newest release; 0 when there is none."""
    files = (board.folder / "releases").glob("[0-9]*.json")
    return max((int(path.stem) for path in files if path.stem.isdecimal()), default=0)


def get(board: Board, number: int) -> Release:
    """The release of that number.

    Raises:
        LeaderboardError: there is none, or its file was changed or is another release.
    """
    path = board.folder / _name(number)
    try:
        data = from_text(path.read_bytes())
        found = read(Release, data)
        if digest(data) != data["id"]:
            raise ValueError("it was changed")
        if found.number != number:
            raise ValueError(f"it is release {found.number}")
        return found
    except FileNotFoundError:
        known = (
            f"the newest is {latest(board)}" if latest(board) else "make one with: bench release"
        )
        raise LeaderboardError(f"no release {number} in {board.folder}; {known}") from None
    except (ValueError, RecursionError) as error:
        raise LeaderboardError(
            f"release {number} is not valid ({error}); restore {path} from version control"
        ) from error


def frozen_records(board: Board, frozen: Release) -> list[Record]:
    """The records of a release, oldest first.

    Raises:
        LeaderboardError: one of them is missing or damaged.
    """
    present = {record.id: record for record in board.records()}
    missing = [identity[:16] for identity in frozen.records if identity not in present]
    if missing:
        raise LeaderboardError(
            f"release {frozen.number} names records that are missing or damaged: "
            f"{', '.join(missing)}; restore them from version control"
        )
    return [present[identity] for identity in frozen.records]


def _name(number: int) -> str:
    return f"releases/{number:04d}.json"

"""Storage: a copy of a campaign's results at any address that fsspec supports.

    storage = Storage("s3://bucket/campaign", plan)
    storage.restore()                  # fetch the files that are missing here
    storage.keep(step, record)         # after each finished step

Checkpoints are stored under `runs`, each board under `boards/NAME`, the state in `state.json`.
"""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from bench.campaign.definition.campaign import Campaign
from bench.campaign.execution.plan import Plan, Step
from bench.errors import CrossfireError, reason
from bench.files import write_atomic


class Storage:
    """The folder at an address.

    Raises:
        CrossfireError: fsspec or its package for the address is missing, it is unreachable, or two
            boards of the campaign have one name.
    """

    def __init__(self, url: str, plan: Plan) -> None:
        self._url, self._plan = url, plan
        boards = {plan.campaign.board_at(step.board) for step in plan.steps.values() if step.board}
        names = [board.name for board in boards]
        for name in names:
            if names.count(name) > 1:
                raise CrossfireError(f"two boards are called '{name}'; the storage needs two names")
        self._boards = {board.name: board for board in boards}
        try:
            import fsspec

            self._files, self._root = fsspec.core.url_to_fs(url)
            self._files.makedirs(self._root, exist_ok=True)
        except Exception as error:
            raise self._error(error) from error

    def restore(self) -> None:
        """Fetch every file that is stored and missing here.

        Raises:
            CrossfireError: a file can't be read or written.
        """
        try:
            found = self._files.find(self._root)
        except Exception as error:
            raise self._error(error) from error
        for name in found:
            target = self._local_path(PurePosixPath(name.removeprefix(self._root).lstrip("/")))
            if target is not None and not target.exists():
                write_atomic(target, self._read(name))

    def keep(self, step: Step, record: str) -> None:
        """Store the results of a step: the folder of a run, or a record with its evidence and
        kept weights.

        Raises:
            CrossfireError: it can't be written.
        """
        campaign = self._plan.campaign
        if step.kind == "train":
            folder = campaign.folder / step.model
            for path in (one for one in folder.rglob("*") if one.is_file()):
                self._write(f"runs/{folder.name}/{path.relative_to(folder)}", path)
        elif record:
            board = campaign.board_at(step.board)
            for name in (*_files_of(board, record), record):
                self._write(f"boards/{board.name}/{name}", board / name)

    def keep_state(self) -> None:
        """Store the campaign's state."""
        self._write("state.json", self._plan.campaign.state_folder / "state.json")

    def _local_path(self, inside: PurePosixPath) -> Path | None:
        campaign: Campaign = self._plan.campaign
        head, *rest = inside.parts
        if inside.parts == ("state.json",):
            return campaign.state_folder / "state.json"
        if head == "runs" and rest:
            return campaign.folder / campaign.checkpoints / Path(*rest)
        if head == "boards" and len(rest) > 1 and rest[0] in self._boards:
            return self._boards[rest[0]] / Path(*rest[1:])
        return None

    def _read(self, name: str) -> bytes:
        try:
            return bytes(self._files.cat_file(name))
        except Exception as error:
            raise self._error(error) from error

    def _write(self, name: str, path: Path) -> None:
        target = f"{self._root}/{name}"
        try:
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(target, path.read_bytes())
        except Exception as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> CrossfireError:
        return CrossfireError(
            f"cannot use the storage {self._url} ({reason(error)}); check the address, and that "
            "the fsspec package for it is installed"
        )


def _files_of(board: Path, record: str) -> Iterator[str]:
    """The evidence of a record, and its weights if the board keeps them."""
    plain: dict[str, Any] = json.loads((board / record).read_text())
    for part in (plain.get("evidence") or {}).values():
        if part:
            yield part["file"]
    weights = f"weights/{plain['model']['weights_sha256'][:16]}.safetensors"
    if (board / weights).is_file():
        yield weights

"""A board: a folder of records and evidence to which files are only added.

    records/<id>.json             one record a file
    releases/<number>.json        frozen lists of records
    evidence/<sha256>.parquet     a row per example
    evidence/<sha256>.safetensors the adversarial examples
    weights/<sha256>.safetensors  checkpoints that were measured, by the hash of their weights

Files are named by their content, written to a temporary file, flushed to the disk and renamed.
So several processes may append at once, and a kill at any time leaves no incomplete file under
a final name.
"""

import contextlib
import dataclasses
import gc
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from leaderboard.errors import LeaderboardError
from leaderboard.fields import visible
from leaderboard.flags import unpack
from leaderboard.schema import Evidence, File, Record, from_json, to_json
from leaderboard.weights import weights_sha256

if TYPE_CHECKING:
    from pandas import DataFrame

EXAMPLE_COLUMNS = ("index", "label", "prediction", "margin")
"""Columns of an evidence table that don't depend on the threat: position in the data set, true
class, class predicted for the unperturbed image, and its margin (true logit minus the largest
other one)."""

VERDICT_COLUMNS = ("robust", "attack", "step", "norm", "passes")
"""Columns for each threat and suite: the flag; the attack that broke the example and its step (null
for a robust one); norm of the perturbation found (null for a robust one); passes spent on it."""


def column(threat: str, suite: str, what: str) -> str:
    """The name of an evidence table's column: `linf:8/255/pgd-100/robust`."""
    return f"{threat}/{suite}/{what}"


def columns(record: Record) -> list[str]:
    """Every column that the evidence table of `record` has."""
    pairs = [(verdict.threat, verdict.suite) for verdict in record.verdicts]
    return [*EXAMPLE_COLUMNS, *(column(t, s, what) for t, s in pairs for what in VERDICT_COLUMNS)]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _copy(source: Path) -> Callable[[Path], object]:
    return lambda target: shutil.copyfile(source, target)


class Contents(NamedTuple):
    """What a board holds."""

    records: list[Record]
    """The readable records, oldest first."""
    damaged: list[str]
    """One line for each damaged record file, with its name and the reason."""


class Board:
    """The board in a folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, record: Record, table: "DataFrame", adversarial: Path | None) -> Record:
        """Store a record with its evidence, and return it with the evidence's files filled in.

        Args:
            record: one without evidence.
            table: a row per example, with exactly the columns `columns(record)`.
            adversarial: a safetensors file, which is copied; None omits adversarial examples.

        Raises:
            ValueError: the table isn't that of the record.
            LeaderboardError: the folder can't be written.
        """
        _check_table(record, table)
        with self._writing():
            rows = self._place("evidence", ".parquet", lambda p: table.to_parquet(p, index=False))
            images = adversarial and self._place("evidence", ".safetensors", _copy(adversarial))
            record = dataclasses.replace(record, evidence=Evidence(rows, images or None), id="")
            with _draft(self.folder / "records") as draft:
                draft.write_text(to_json(record), encoding="utf-8")
                _publish(draft, self.path(record))
        return record

    def keep_weights(self, checkpoint: Path) -> Path:
        """Store a copy of a checkpoint, a safetensors file, and return its path on the board.

        Raises:
            LeaderboardError: the file is missing or incomplete, or the folder can't be written.
        """
        if not checkpoint.is_file():
            raise LeaderboardError(f"there is no checkpoint {checkpoint}; name its file")
        try:
            with self._writing():
                kept = self._place("weights", ".safetensors", _copy(checkpoint), weights_sha256)
        except ValueError as error:
            raise LeaderboardError(f"no weights to keep in {checkpoint}: {error}") from error
        return self.folder / kept.file

    def weights(self, record: Record) -> Path:
        """The path of the checkpoint of a record, if the board holds it."""
        return self.folder / "weights" / f"{record.model.weights_sha256[:16]}.safetensors"

    def create(self, name: str, text: str) -> bool:
        """Write a new file of the board; False, and nothing is written, when it exists.

        Raises:
            LeaderboardError: the folder can't be written.
        """
        target = self.folder / name
        with self._writing(), _draft(target.parent) as draft:
            draft.write_text(text, encoding="utf-8")
            try:
                _publish(draft, target, exclusive=True)
            except FileExistsError:
                return False
        return True

    def path(self, record: Record) -> Path:
        """The path of the file of a record."""
        return self.folder / "records" / f"{record.id[:16]}.json"

    def read(self) -> Contents:
        """Everything on the board; damaged records are listed apart."""
        contents, found = Contents([], []), dict[str, Record]()
        paths = sorted((self.folder / "records").glob("[!.]*.json"))
        with _uncollected():
            for path in paths:
                try:
                    record = from_json(path.read_bytes())
                    found[record.id] = record
                except (ValueError, OSError) as error:
                    contents.damaged.append(visible(f"skipped the damaged record {path}: {error}"))
        contents.records.extend(sorted(found.values(), key=_age))
        return contents

    def records(self) -> list[Record]:
        """The readable records, oldest first."""
        return self.read().records

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LeaderboardError(
                f"cannot write the board {self.folder}: {error.strerror or error}; free some space "
                "or choose another folder"
            ) from error

    def _place(
        self,
        folder: str,
        suffix: str,
        write: Callable[[Path], object],
        identify: Callable[[Path], str] = _sha256,
    ) -> File:
        """Write a file named by the hash of its content."""
        with _draft(self.folder / folder) as draft:
            write(draft)
            sha256 = identify(draft)
            name = f"{sha256[:16]}{suffix}"
            _publish(draft, draft.with_name(name))
        return File(f"{folder}/{name}", sha256)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the garbage collector, which needs a second for the objects of ten thousand records."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


@contextlib.contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """A temporary file, which is deleted at the end unless it was published."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".draft-")
    os.fchmod(handle, 0o644)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _publish(draft: Path, target: Path, exclusive: bool = False) -> None:
    """Flush `draft` to the disk, rename it, and flush the folder."""
    _flush(draft)
    if exclusive:
        os.link(draft, target)
    else:
        draft.replace(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _age(record: Record) -> tuple[datetime, str]:
    return datetime.fromisoformat(record.created), record.id


def _check_table(record: Record, table: "DataFrame") -> None:
    wanted = columns(record)
    if sorted(table.columns) != sorted(wanted):
        differing = sorted(set(wanted) ^ set(table.columns))
        raise ValueError(f"the evidence table has missing or unknown columns: {differing}")
    if len(table) != record.data.examples:
        raise ValueError(f"the evidence table has {len(table)} rows, not {record.data.examples}")
    for verdict in record.verdicts:
        robust = table[column(verdict.threat, verdict.suite, "robust")].to_numpy(dtype=bool)
        if not np.array_equal(robust, unpack(verdict.flags, record.data.examples)):
            raise ValueError(
                f"the evidence table contradicts the flags of {verdict.threat} {verdict.suite}"
            )

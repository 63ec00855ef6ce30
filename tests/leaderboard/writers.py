"""Writes to one board from several processes at once: `python writers.py FOLDER WRITERS RUNS`."""

import os
import sys
from pathlib import Path

import pyarrow.parquet  # noqa: F401 (imported once, before the processes part)

from leaderboard.store import Board
from tests.records import make_record, make_table


def write(folder: Path, writer: int, runs: int) -> None:
    for seed in range(runs):
        record = make_record(f"writer{writer}", seed=seed)
        Board(folder).append(record, make_table(record), None)


def main(folder: Path, writers: int, runs: int) -> None:
    children = []
    for writer in range(writers):
        child = os.fork()
        if child == 0:
            write(folder, writer, runs)
            os._exit(0)
        children.append(child)
    sys.exit(sum(os.waitpid(child, 0)[1] for child in children))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""The study of the active teacher: students before teachers whose decision is known everywhere.

    python benchmarks/active_teacher.py --out docs/explanation/active-teacher

Does what is missing of the grid (teaching/grid.py), then draws figures and writes the tables of the
pages of the folder's name beside it, NAME.md and NAME-tables.md. It can be stopped and entered
again. `--small` tries all of it in a minute. One thread.
"""

import argparse
import sys
from pathlib import Path

import torch
from teaching.figures import draw
from teaching.study import study
from teaching.tables import renew

from bench.display import shown
from bench.errors import CrossfireError


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of data and figures")
    parser.add_argument("--teachers", type=Path, default=Path("build/active-teacher"))
    parser.add_argument("--small", action="store_true", help="two students a run, hardly trained")
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        with shown() as progress:
            rows = study(given.out / "runs.csv", given.teachers, progress, small=given.small)
        draw(rows, given.out)
        renew(rows, given.out)
    except CrossfireError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

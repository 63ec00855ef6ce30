"""The log of a run: a row for each epoch with its cost and the held-out accuracies.

The columns `loss` and `union` show robust overfitting: both fall (Rice et al. 2020).
"""

import csv
import io
from importlib.util import find_spec
from pathlib import Path

from bench.errors import CrossfireError
from bench.files import write_atomic
from bench.training.selection import diagnose

Row = dict[str, int | float]


def write_csv(path: Path, history: list[Row], classes: int) -> None:
    """Replace the file by all rows; the column `notice` names overfitting or collapse."""
    text = io.StringIO()
    columns = dict.fromkeys(name for row in history for name in row)
    writer = csv.DictWriter(text, [*columns, "notice"])
    writer.writeheader()
    for count, row in enumerate(history, start=1):
        writer.writerow({**row, "notice": diagnose(history[:count], classes)})
    write_atomic(path, text.getvalue().encode())


def check_tensorboard() -> None:
    """Check that TensorBoard is installed before the first epoch.

    Raises:
        CrossfireError: TensorBoard isn't installed.
    """
    if find_spec("tensorboard") is None:
        raise CrossfireError(
            "TensorBoard is not installed; pip install tensorboard, or leave --tensorboard out"
        )


def write_tensorboard(folder: Path, row: Row) -> None:
    """Add an epoch's row to TensorBoard's event files."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["epoch"]))

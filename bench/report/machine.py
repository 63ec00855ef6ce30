"""Tables for programs: CSV and JSON, every number as it is, nothing rounded for the eye."""

import csv
import io
import json
from collections.abc import Iterable

from leaderboard.frame import Cells


def to_csv(tables: Iterable[list[Cells]]) -> str:
    """All tables below one another; a column that a table doesn't have is empty in its rows."""
    rows = [row for table in tables for row in table]
    columns = dict.fromkeys(name for row in rows for name in row)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def to_json(tables: Iterable[list[Cells]]) -> str:
    """A list of tables, each a list of rows."""
    return json.dumps(list(tables), indent=1, ensure_ascii=False) + "\n"

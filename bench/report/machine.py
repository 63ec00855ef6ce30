"""Tables for programs: CSV and JSON, with the numbers as they are stored."""

import csv
import io
import json

from bench.report.wording import attacked
from leaderboard.frame import Cells
from leaderboard.published import SOURCE, Published, matching


def to_csv(tables: list[list[Cells]], published: bool = False) -> str:
    """All tables below one another; a column that a table doesn't have is empty in its rows."""
    rows = [row for table in _with_figures(tables, published) for row in table]
    columns = dict.fromkeys(name for row in rows for name in row)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def to_json(tables: list[list[Cells]], published: bool = False) -> str:
    """A list of tables, each a list of rows."""
    return json.dumps(_with_figures(tables, published), indent=1, ensure_ascii=False) + "\n"


def _with_figures(tables: list[list[Cells]], published: bool) -> list[list[Cells]]:
    if not published:
        return tables
    threats = {
        (table[0]["dataset"], column.threat): None
        for table in tables
        for column in attacked(table[0]).values()
    }
    figures = [[_figure(model, threat) for model in matching(d, threat)] for d, threat in threats]
    return tables + [table for table in figures if table]


def _figure(model: Published, threat: str) -> Cells:
    return {
        "defense": model.name,
        "arch": model.arch,
        "clean": model.clean,
        "dataset": model.dataset,
        "extra_data": model.extra_data,
        "published_threat": threat,
        "published_robust": model.robust,
        "published_attack": model.attack,
        "published_source": SOURCE,
    }

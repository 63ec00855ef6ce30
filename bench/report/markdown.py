"""Tables in markdown, one line a row, so that a leaderboard diffs well in version control."""

from collections.abc import Iterable

from bench.report.wording import (
    RANKS,
    attacked,
    bounds,
    percent,
    rank,
    remarks,
    scope,
    short,
    title,
)
from leaderboard.frame import Cells, measured


def render(tables: Iterable[list[Cells]]) -> str:
    """One section a table; flagged rows apart, with the reasons."""
    return "\n".join(_section(rows) for rows in tables)


def _section(rows: list[Cells]) -> str:
    ranked = [row for row in rows if row["rank_low"] is not None]
    flagged = [row for row in rows if row["rank_low"] is None]
    head, note = escaped(title(rows[0])), escaped(scope(rows[0]))
    lines = [f"### {head}", "", f"{note}; % correct (95 % interval)", ""]
    if ranked:
        lines += [*_table(ranked), ""]
    if flagged:
        lines += ["Not ranked, because an audit flag is open:", "", *_table(flagged), ""]
        reasons = [f"{row['defense']}, {row['flags']}: {row['reason']}" for row in flagged]
        lines += [*(f"- {escaped(reason)}" for reason in reasons), ""]
    return "\n".join([*lines, RANKS, ""] if ranked else lines)


def _table(rows: list[Cells]) -> list[str]:
    columns = attacked(rows[0]).values()
    attacks = [f"{column.suite} {column.heading}" for column in columns]
    head = ["rank", "defense", "arch", "clean", *attacks, "union", "n", "protocol", "weights"]
    left = {"defense", "arch", "protocol", "weights", "remarks"}
    head.append("remarks")
    rules = [":--" if name in left else "--:" for name in head]
    return [line(head), line(rules), *(line(_cells(row)) for row in rows)]


def _cells(row: Cells) -> list[str]:
    return [
        rank(row),
        row["defense"],
        row["arch"],
        *(f"{percent(row[column])} ({bounds(row, column)})" for column in measured(row)),
        str(row["examples"]),
        f"v{row['protocol_version']} `{short(row['protocol'])}`",
        f"`{short(row['weights'])}`",
        ", ".join(filter(None, remarks(row))),
    ]


def line(cells: Iterable[str]) -> str:
    """One row of a markdown table."""
    return f"| {' | '.join(map(escaped, cells))} |"


def escaped(text: str) -> str:
    """Text without HTML, links, pictures, ends of cells and ends of lines."""
    marks = str.maketrans({"\\": "\\\\", "<": "&lt;", "|": "\\|", "[": "\\[", "\n": "<br>"})
    return text.translate(marks)

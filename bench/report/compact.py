"""Tables in markdown for an overview: one line a recipe, one column a threat.

Threats are no columns where only the union counts.

`bench.report.markdown` writes every suite, interval and hash.
"""

from collections.abc import Iterable

from bench.report.combined import accuracies
from bench.report.markdown import escaped, line
from bench.report.wording import bounds, percent, rank, suites, symbol, title, union
from leaderboard.frame import Cells, cells
from leaderboard.ranking import Table


def render(tables: Iterable[Table]) -> str:
    """One section a table."""
    return "\n".join(_section(table) for table in tables)


def _section(table: Table) -> str:
    plain = cells(table)
    rows = [accuracies(row, own) for row, own in zip(table.rows, plain, strict=True)]
    ranked = [row for row in rows if row["rank_low"] is not None]
    broken = [row for row in ranked if percent(row["union"]) == "0.0"]
    folded = broken if 1 < len(broken) < len(ranked) else []
    threats = table.protocol.threats
    shown, whole = ((), union(threats)) if plain[0]["union_only"] else (threats, "union")
    lines = [f"**{escaped(title(plain[0]))}**", "", escaped(_caption(plain, whole)), ""]
    if ranked:
        lines += [*_table([row for row in ranked if row not in folded], shown), ""]
    if folded:
        names = [row["defense"] for row in folded]
        lines += [f"{len(folded)} more with 0.0 % under the union: {_listed(names)}.", ""]
    flagged = [f"{row['defense']} ({row['flags']})" for row in rows if row["rank_low"] is None]
    if flagged:
        lines += [f"Not ranked, because an audit flag is open: {_listed(flagged)}.", ""]
    return "\n".join(lines)


def _caption(rows: list[Cells], whole: str) -> str:
    kinds = {row["arch"] for row in rows}
    network = f"{kinds.pop()}; " if len(kinds) == 1 else ""
    return f"{network}% correct against {suites(rows[0])}, for the {whole} with its 95 % interval"


def _table(rows: list[Cells], threats: Iterable[str]) -> list[str]:
    several = len({row["arch"] for row in rows}) > 1
    numbers = ["clean", *threats]
    head = ["rank", "defense", *(["arch"] if several else []), *map(symbol, numbers)]
    rules = [":--" if name in ("defense", "arch") else "--:" for name in (*head, "union", "runs")]
    body = [
        [
            rank(row),
            row["defense"],
            *([row["arch"]] if several else []),
            *(percent(row[name]) for name in numbers),
            f"{percent(row['union'])} ({bounds(row, 'union')})",
            str(row["runs"]),
        ]
        for row in rows
    ]
    return [line([*head, "union", "runs"]), line(rules), *map(line, body)]


def _listed(names: list[str]) -> str:
    return escaped(", ".join(names))

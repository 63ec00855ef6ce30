"""The output of `bench compare` and `bench diff`, and published figures, as listings."""

from collections.abc import Iterable

from bench.report.listing import Listing
from bench.report.wording import attacked, percent, rank, short, union
from leaderboard.changes import Change
from leaderboard.comparison import compare
from leaderboard.frame import Cells
from leaderboard.published import SOURCE, matching
from leaderboard.ranking import Row
from leaderboard.separation import Ranks

SINGLE = "McNemar's exact test of two models"
SEVERAL = "Two-way test over images and seeds"


def comparison(a: Row, b: Row) -> Listing:
    """Two rows of one table, column by column."""
    data, single = a.head.data, len(a.runs) == len(b.runs) == 1
    rows: list[tuple[str, ...]] = []
    only = union(a.head.protocol.threats) if a.head.union_only else ""
    for one in compare(a, b):
        if only and one.column not in ("clean", "union"):
            continue
        _, p, smallest = one.difference
        rows.append(
            (
                one.column,
                percent(one.a),
                percent(one.b),
                f"{100 * (one.a - one.b):+.1f}",
                *map(str, one.only or ()),
                _p(p),
                "–" if smallest is None else percent(smallest),
                ("A" if one.a > one.b else "B") if one.difference.separated else "neither",
            )
        )
    return Listing(
        title=f"A = {_who(a)}, B = {_who(b)}",
        note=(
            f"{data.called} {data.split}, {data.examples:,} examples, protocol "
            f"{short(a.head.protocol.sha256)}. {SINGLE if single else SEVERAL}, each column by "
            "itself at 5 %; gap: the smallest difference that would be significant."
            + (only and f" Only the {only} counts.")
        ),
        head=(
            *("column", "A %", "B %", "A - B"),
            *(("only A", "only B") if single else ()),
            *("p", "gap", "better"),
        ),
        rows=rows,
    )


def changes(found: Iterable[Change], before: str, after: str) -> Listing:
    """The rows that changed between two releases, with the reasons."""
    rows: list[tuple[str, ...]] = [
        (
            f"{change.row.head.data.called} {short(change.row.head.protocol.sha256)}",
            change.row.label,
            change.row.head.model.arch,
            f"{_ranks(change.before)} -> {_ranks(change.after)}",
            "; ".join(change.reasons),
        )
        for change in found
    ]
    return Listing(
        title=f"{before} -> {after}",
        note=f"{len(rows)} rows changed" if rows else "no row changed",
        head=("table", "defense", "arch", "rank", "why"),
        rows=rows,
    )


def with_published(rows: list[Cells]) -> list[Listing]:
    """A table's ranked rows and the published figures, a listing for each threat with figures; none
    where only the union counts."""
    if rows[0]["union_only"]:
        return []
    threats: dict[str, dict[str, str]] = {}
    for name, column in attacked(rows[0]).items():
        threats.setdefault(column.threat, {})[name] = column.suite
    found = [_with_published(rows, threat, suites) for threat, suites in threats.items()]
    return [listing for listing in found if listing]


def _with_published(rows: list[Cells], threat: str, suites: dict[str, str]) -> Listing | None:
    """Our rows under one threat by the strongest of the suites, which are named by column."""
    dataset = rows[0]["dataset"]
    figures = matching(dataset, threat)
    if not figures:
        return None
    lines = [
        (
            m.robust,
            f"{m.name}\n{m.arch}",
            percent(m.clean),
            percent(m.robust),
            m.attack,
            "published",
        )
        for m in figures
    ]
    for row in (row for row in rows if row["rank_low"] is not None):
        column = min(suites, key=lambda name: float(row[name]))
        model, suite = f"{row['defense']}\n{row['arch']}", suites[column]
        whose = f"here, n = {row['examples']:,}"
        lines.append(
            (row[column], model, percent(row["clean"]), percent(row[column]), suite, whose)
        )
    lines.sort(key=lambda line: (-line[0], line[1]))
    return Listing(
        title=f"{dataset}, {threat}: with published figures",
        note=f"Published: {SOURCE}. No paired test is possible, so these places are not ranks.",
        head=("place", "model", "clean", "robust", "attack", "whose"),
        rows=[(str(place), *line[1:]) for place, line in enumerate(lines, start=1)],
    )


def _who(row: Row) -> str:
    arithmetic = "/".join(sorted({run.environment.precision for run in row.runs}))
    which = row.head.id[:8] if len(row.runs) == 1 else f"{len(row.runs)} runs"
    return f"{row.label} ({which}, {arithmetic})"


def _ranks(ranks: Ranks | None) -> str:
    low, high = ranks or (None, None)
    return rank({"rank_low": low, "rank_high": high})


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"

"""What the commands beside `bench report` say, as listings."""

from collections.abc import Iterable

from bench.report.listing import Listing
from bench.report.wording import attacked, percent, short
from leaderboard.changes import Change
from leaderboard.comparison import compare
from leaderboard.frame import Cells, label
from leaderboard.published import SOURCE, matching
from leaderboard.schema import Record


def comparison(a: Record, b: Record) -> Listing:
    """Two records of one table, example by example."""
    n = a.data.examples
    rows: list[tuple[str, ...]] = []
    for one in compare(a, b):
        paired = one.paired
        rows.append(
            (
                one.column,
                percent(one.a),
                percent(one.b),
                f"{100 * (one.a - one.b):+.1f}",
                str(paired.only_a),
                str(paired.only_b),
                _p(paired.p),
                "–" if one.gap is None else percent(one.gap),
                ("A" if one.a > one.b else "B") if paired.separated else "neither",
            )
        )
    return Listing(
        title=f"A = {_who(a)}, B = {_who(b)}",
        note=(
            f"{a.data.called} {a.data.split}, {n:,} examples, protocol {short(a.protocol.sha256)}. "
            "McNemar's exact test; gap: the smallest difference that so many disagreeing examples "
            "can tell apart at 5 %."
        ),
        head=("column", "A %", "B %", "A - B", "only A", "only B", "p", "gap", "better"),
        rows=rows,
    )


def changes(found: Iterable[Change], before: str, after: str) -> Listing:
    """What is not as it was."""
    rows: list[tuple[str, ...]] = [
        (
            f"{change.row.head.data.called} {short(change.row.head.protocol.sha256)}",
            label(change.row),
            change.row.head.model.arch,
            f"{change.before or '–'} -> {change.after or '–'}",
            "; ".join(change.why),
        )
        for change in found
    ]
    return Listing(
        title=f"{before} -> {after}",
        note=f"{len(rows)} rows changed" if rows else "no row changed",
        head=("table", "defense", "arch", "rank", "why"),
        rows=rows,
    )


def beside(rows: list[Cells]) -> list[Listing]:
    """A table's ranked rows among the published figures, a listing for each threat with figures."""
    threats: dict[str, list[str]] = {}
    for column in attacked(rows[0]):
        threats.setdefault(column.rpartition("/")[0], []).append(column)
    found = [_beside(rows, threat, columns) for threat, columns in threats.items()]
    return [listing for listing in found if listing]


def _beside(rows: list[Cells], threat: str, columns: list[str]) -> Listing | None:
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
    for row in (row for row in rows if row["rank"] is not None):
        column = min(columns, key=lambda name: float(row[name]))
        model, suite = f"{row['defense']}\n{row['arch']}", column.rpartition("/")[2]
        whose = f"here, n = {row['examples']:,}"
        lines.append(
            (row[column], model, percent(row["clean"]), percent(row[column]), suite, whose)
        )
    lines.sort(key=lambda line: (-line[0], line[1]))
    return Listing(
        title=f"{dataset}, {threat}: beside published figures",
        note=f"Published: {SOURCE}. No paired test is possible, so these places are not ranks.",
        head=("place", "model", "clean", "robust", "attack", "whose"),
        rows=[(str(place), *line[1:]) for place, line in enumerate(lines, start=1)],
    )


def _who(record: Record) -> str:
    name, arithmetic = record.model.defense or record.model.name, record.environment.precision
    return f"{name} ({record.id[:8]}, {arithmetic})"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"

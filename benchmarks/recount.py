"""Further figures from the published records.

    python benchmarks/recount.py

Verdicts that PGD-100 broke and `crossfire` left; the arithmetic of the attacks; the training cost
of distilled students including their teacher's; PGD-100 without what other suites found;
options of `mat` seed by seed; and, of digits, accuracies on held-out images at the epoch chosen by
them, with the students' agreement with their teachers.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath
from statistics import mean

import pandas as pd

from leaderboard.flags import conjunction, count, number
from leaderboard.schema import Record
from leaderboard.store import Board
from leaderboard.versions import newest

BOARDS = Path(__file__).parents[1] / "leaderboard"


def left_by_crossfire(records: list[Record]) -> tuple[int, int]:
    """Verdicts broken by PGD-100 and not by `crossfire`, and all verdicts of either."""
    missed = total = 0
    for record in records:
        flags = {(v.suite, v.threat): number(v.flags) for v in record.verdicts}
        for (suite, threat), kept in flags.items():
            if suite == "crossfire" and ("pgd-100", threat) in flags:
                missed += (kept & ~flags["pgd-100", threat]).bit_count()
                total += record.data.examples
    return missed, total


def by_arithmetic(records: list[Record]) -> dict[str, tuple[int, int]]:
    """Records and passes of attacks made in each arithmetic."""
    made: Counter[str] = Counter()
    passes: Counter[str] = Counter()
    for record in records:
        arithmetic = record.environment.precision
        made[arithmetic] += 1
        passes[arithmetic] += sum(v.forward_passes + v.backward_passes for v in record.verdicts)
    return {arithmetic: (made[arithmetic], passes[arithmetic]) for arithmetic in made}


def students(records: list[Record]) -> str:
    """A row per student: training passes in thousands, its own and with its teacher's."""
    spent = {(images(r), run(r)): training_passes(r) for r in records}
    rows: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for record in records:
        teacher = record.model.config.get("teacher")
        if teacher:
            name = images(record)
            own = spent[name, run(record)]
            rows[name, run(record).rpartition("-")[0]].append((own, own + spent[name, teacher]))
    lines = ["| images | student | seeds | passes | with its teacher's |", "|---|---|--:|--:|--:|"]
    for (name, student), seeds in sorted(rows.items()):
        own, whole = (mean(each) / 1000 for each in zip(*seeds, strict=True))
        lines.append(f"| {name} | {student} | {len(seeds)} | {own:,.0f} k | {whole:,.0f} k |")
    return "\n".join(lines)


def alone(board: Board, records: list[Record]) -> str:
    """A row per run: accuracies in percent by PGD-100's own examples, mean over seeds, and the
    difference from `at` under the union. Before protocol 6 its columns also counted examples that
    `crossfire` had found under another threat."""
    flags: dict[tuple[str, str], dict[int, pd.DataFrame]] = defaultdict(dict)
    for record in records:
        if "pgd-100" in record.protocol.suites:
            key = (images(record), run(record).rpartition("-")[0])
            flags[key][seed(record)] = own_flags(board, record)
    lines = [
        "| images | run | seeds | linf | l2 | l1 | union | union − at's, by seed |",
        f"|---|---|{'--:|' * 6}",
    ]
    for (data, name), seeds in sorted(flags.items()):
        means = pd.DataFrame({k: 100 * frame.mean() for k, frame in seeds.items()}).T
        cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(means.mean(), means.std(), strict=True)]
        if len(seeds) == 1:
            cells = [f"{m:.1f}" for m in means.mean()]
        base = flags[data, "at"]
        gaps = [means["union"][k] - 100 * base[k]["union"].mean() for k in seeds if k in base]
        lines.append(
            f"| {data} | {name} | {len(seeds)} | {' | '.join(cells)} "
            f"| {mean(gaps):+.1f} ({min(gaps):+.1f} to {max(gaps):+.1f}) |"
        )
    return "\n".join(lines)


def own_flags(board: Board, record: Record) -> "pd.DataFrame":
    """Flags of the examples robust to PGD-100 itself, a column for each threat and the union."""
    assert record.evidence is not None
    table = pd.read_parquet(board.folder / record.evidence.table.file)
    columns = {}
    for threat in record.protocol.threats:
        column = f"{threat}/pgd-100"
        credit = (table[f"{column}/attack"] == "credit").fillna(False)
        columns[threat] = (table[f"{column}/robust"] | credit).astype(bool)
    return pd.DataFrame(columns).assign(union=lambda frame: frame.all(axis=1))


def by_seed(records: list[Record], names: Sequence[str], norm: str) -> str:
    """A row per run on digits: accuracies in percent under one norm, or the union, by seed."""
    lines = [
        f"| run | {norm} PGD-100, by seed | {norm} crossfire, by seed |",
        "|---|---|---|",
    ]
    for name in names:
        seeds = sorted(
            (r for r in records if run(r).rpartition("-")[0] == name and r.data.called == "digits"),
            key=seed,
        )
        cells = [
            ", ".join(f"{accuracy(record, norm, suite):.1f}" for record in seeds)
            for suite in ("pgd-100", "crossfire")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def held_out(records: list[Record]) -> str:
    """A row per run on digits: in percent, mean over seeds; `attacked` is by PGD-10, the worst case
    over the threats of the training."""
    found: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
    for record in records:
        training = record.model.training or {}
        if record.data.called == "digits" and training["tag"] == "best":
            found[run(record).rpartition("-")[0]][seed(record)] = training["heldout"]
    columns = {"clean": "clean", "attacked": "union", "agrees, clean": "agreement clean"}
    columns["agrees, attacked"] = "agreement linf:0.25"
    lines = [f"| run | seeds | {' | '.join(columns)} |", f"|---|{'--:|' * 5}"]
    for name, seeds in sorted(found.items()):
        means = pd.DataFrame(seeds.values()).mean()
        cells = [f"{100 * means[c]:.1f}" if c in means else "" for c in columns.values()]
        lines.append(f"| {name} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def accuracy(record: Record, norm: str, suite: str) -> float:
    """Robust accuracy under one norm, or under all of them, in percent."""
    kept = [
        verdict.flags
        for verdict in record.verdicts
        if verdict.suite == suite and norm in ("union", verdict.threat.partition(":")[0])
    ]
    return 100 * count(conjunction([record.clean, *kept])) / record.data.examples


def images(record: Record) -> str:
    """Data set and number of the images, which tell the campaigns apart."""
    return f"{record.data.called}, {record.data.examples:,} images"


def seed(record: Record) -> int:
    """The seed of the training run."""
    return int((record.model.training or {})["seed"])


def run(record: Record) -> str:
    """The name of the training run, such as `rslad-0`."""
    return PurePath(record.model.source).parent.name


def training_passes(record: Record) -> int:
    """Forward and backward passes up to the checkpoint."""
    training = record.model.training or {}
    return int(training["forward_passes"] + training["backward_passes"])


if __name__ == "__main__":
    boards = [list(Board(BOARDS / name).records()) for name in ("published", "further", "trials")]
    everything = newest([record for board in boards[:2] for record in board])
    published = [record for record in everything if record in boards[0]]
    missed, total = left_by_crossfire(published)
    print(f"broken by pgd-100 and left by crossfire: {missed} of {total:,} verdicts")
    found = by_arithmetic(published)
    for arithmetic, (made, passes) in sorted(found.items()):
        whole = sum(other for _, other in found.values())
        share = f"{100 * passes / whole:.1f} % of all passes"
        print(f"attacks in {arithmetic}: {made} of {len(published)} records, {share}")
    both = [record for record in everything if "crossfire" in record.protocol.suites]
    one = sorted({run(r).rpartition("-")[0] for r in both if run(r).startswith("mat-linf")})
    tables = [
        students(published),
        alone(Board(BOARDS / "published"), published),
        by_seed(both, ["avg", "mat-alpha-0.25", "mat"], "union"),
        by_seed(both, ["at", *one], "linf"),
        held_out(newest(boards[2]) + published),
    ]
    print("\n\n".join(tables))

"""Tables of what `benchmarks/board.py` measured, as markdown.

    python benchmarks/results.py digits

Means over the seeds; pairs of recipes are compared over images and seeds (`leaderboard.seeds`), and
corrected for the number of pairs by Holm's method.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

from leaderboard.flags import conjunction, count, number
from leaderboard.schema import Record
from leaderboard.seeds import Runs as Column
from leaderboard.seeds import compare_runs
from leaderboard.separation import holm
from leaderboard.store import Board

ROOT = Path(__file__).parents[1]
Runs = dict[str, dict[int, dict[str, list[Record]]]]
"""Name of a run -> seed -> `best` or `last` -> its records, one for each call of evaluate."""

CLAIMS = [
    ("mat-linf", "at", "linf", "pgd-100"),
    ("mat-linf", "at", "linf", "crossfire"),
    ("mat-linf-averaged", "at-averaged", "linf", "pgd-100"),
    ("mat", "at", "union", "pgd-100"),
    ("mat", "at", "union", "crossfire"),
    ("mat", "at-l2", "union", "crossfire"),
    ("mat", "at-l1", "union", "crossfire"),
    ("mat", "avg", "union", "pgd-100"),
    ("mat", "avg", "union", "crossfire"),
    ("mat", "max", "union", "crossfire"),
    ("mat", "msd", "union", "crossfire"),
    ("mat", "e-at", "union", "crossfire"),
    ("mat", "mat-alpha-0", "union", "crossfire"),
    ("mat-averaged", "avg-averaged", "union", "crossfire"),
    ("l2l", "at", "linf", "crossfire"),
    ("l2l-two-step", "at", "linf", "crossfire"),
    ("rslad", "at", "linf", "crossfire"),
    ("active", "rslad", "linf", "crossfire"),
    ("active", "at", "linf", "crossfire"),
]


def read(scene: str) -> Runs:
    """Every record of a scene."""
    found: Runs = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for board in (ROOT / "leaderboard" / "published", ROOT / "leaderboard" / "further"):
        for record in Board(board).records():
            path = Path(record.model.source)
            name, _, seed = path.parent.name.rpartition("-")
            if scene in record.data.called and seed.isdecimal():
                found[name][int(seed)][path.stem].append(record)
    # A run that is still under way has no best epoch on the board yet.
    return {
        name: seeds for name, seeds in found.items() if any("best" in t for t in seeds.values())
    }


def flags(records: list[Record], norm: str, suite: str) -> str | None:
    """Packed flags: right when clean, and under one norm or all of them by one suite; None where
    that was not measured."""
    chosen = [
        verdict.flags
        for record in records
        for verdict in record.verdicts
        if verdict.suite == suite and norm in ("union", verdict.threat.partition(":")[0])
    ]
    return conjunction([records[0].clean, *chosen]) if chosen else None


def share(norm: str, suite: str) -> Callable[[list[Record]], float | None]:
    """A function that gives an accuracy in percent."""

    def accuracy(records: list[Record]) -> float | None:
        packed = flags(records, norm, suite)
        return None if packed is None else 100 * count(packed) / records[0].data.examples

    return accuracy


def spread(values: list[float]) -> str:
    """Mean and standard deviation over seeds."""
    if not values:
        return ""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def table(runs: Runs) -> str:
    """A row a run: accuracies in percent, what was spent on training, and the last epoch."""
    columns: list[tuple[str, str, Callable[[list[Record]], float | None]]] = [
        ("clean", "best", lambda seen: 100 * count(seen[0].clean) / seen[0].data.examples),
        *((f"{norm} PGD-100", "best", share(norm, "pgd-100")) for norm in ("linf", "l2", "l1")),
        ("union PGD-100", "best", share("union", "pgd-100")),
        *((f"{norm} crossfire", "best", share(norm, "crossfire")) for norm in ("linf", "l2", "l1")),
        ("union crossfire", "best", share("union", "crossfire")),
        ("union PGD-100, last", "last", share("union", "pgd-100")),
    ]
    measured = [seen for seeds in runs.values() for tags in seeds.values() for seen in tags.items()]
    columns = [
        (title, tag, value)
        for title, tag, value in columns
        if any(value(seen) is not None for name, seen in measured if name == tag)
    ]
    lines = [
        "| run | seeds | " + " | ".join(title for title, _, _ in columns) + " | passes | s |",
        "|---|" + "--:|" * (len(columns) + 3),
    ]
    for name, seeds in sorted(runs.items(), key=lambda item: -_merit(item[1])):
        cells = [name, str(len(seeds))]
        for _, tag, value in columns:
            values = [value(tags[tag]) for tags in seeds.values() if tag in tags]
            cells.append(spread([value for value in values if value is not None]))
        spent = [tags["best"][0].model.training or {} for tags in seeds.values() if "best" in tags]
        passes = mean(s["forward_passes"] + s["backward_passes"] for s in spent) / 1000
        cells += [f"{passes:,.0f} k", f"{mean(s['seconds'] for s in spent):.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def claims(runs: Runs) -> str:
    """A row a pair of recipes: how many seeds of each, their difference in points with the least
    and the most of one seed, and p by itself and by Holm's method."""
    pairs = [
        (claim, one, other)
        for claim in CLAIMS
        if (one := _column(runs, claim[0], *claim[2:]))
        and (other := _column(runs, claim[1], *claim[2:]))
    ]
    tests = [compare_runs(one, other) for _, one, other in pairs]
    adjusted = holm([test.p for test in tests])
    lines = [
        "| a | b | under | seeds | a − b | by seed | p | Holm |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for (claim, one, other), test, corrected in zip(pairs, tests, adjusted, strict=True):
        a, b, norm, suite = claim
        gaps = [100 * gap for gap in _gaps(one, other)]
        span = f"{min(gaps):+.1f} to {max(gaps):+.1f}" if len(gaps) > 1 else ""
        seeds = " and ".join(dict.fromkeys(str(len(side.flags)) for side in (one, other)))
        cells = [a, b, f"{norm} {suite}", seeds, f"{100 * test.gap:+.1f}", span]
        lines.append(f"| {' | '.join([*cells, f'{test.p:.2g}', f'{corrected:.2g}'])} |")
    return "\n".join(lines)


def _column(runs: Runs, name: str, norm: str, suite: str) -> Column | None:
    """The flags of a recipe's best checkpoints, seed by seed; None where that wasn't measured."""
    seen = {seed: tags["best"] for seed, tags in runs.get(name, {}).items() if "best" in tags}
    packed = {seed: flags(records, norm, suite) for seed, records in sorted(seen.items())}
    known = {seed: text for seed, text in packed.items() if text is not None}
    examples = [records[0].data.examples for records in seen.values()]
    return Column(tuple(known.values()), examples[0], tuple(known)) if known else None


def _gaps(a: Column, b: Column) -> list[float]:
    """Differences in accuracy, one for each seed that both have."""
    one, other = (dict(zip(side.seeds, side.flags, strict=True)) for side in (a, b))
    return [(count(one[s]) - count(other[s])) / a.examples for s in one if s in other]


def _merit(seeds: dict[int, dict[str, list[Record]]]) -> float:
    values = [share("union", "crossfire")(t["best"]) for t in seeds.values() if "best" in t]
    return mean(value or 0.0 for value in values) if values else -1.0


def by_autoattack(runs: Runs) -> str:
    """A row a run that AutoAttack attacked by itself: what it left, what it broke and `crossfire`
    left, and the reverse, over the three norms together, and the passes of both."""
    lines = [
        "| run | linf | l2 | l1 | union | union, ours | missed | extra | passes | passes, ours |",
        "|---|" + "--:|" * 9,
    ]
    for name, seen in ((name, t["best"]) for name, seeds in runs.items() for t in seeds.values()):
        norms = ("linf", "l2", "l1", "union")
        left = [share(norm, "autoattack")(seen) for norm in norms]
        ours = share("union", "crossfire")(seen)
        if None in left or ours is None:
            continue
        spent, flagged = Counter[str](), dict[tuple[str, str], int]()
        for verdict in (v for record in seen for v in record.verdicts):
            spent[verdict.suite] += verdict.forward_passes + verdict.backward_passes
            flagged[verdict.suite, verdict.threat] = number(verdict.flags)
        pairs = [(f, flagged["autoattack", t]) for (s, t), f in flagged.items() if s == "crossfire"]
        missed = sum((ours & ~theirs).bit_count() for ours, theirs in pairs)
        extra = sum((theirs & ~ours).bit_count() for ours, theirs in pairs)
        passes = [f"{spent[suite] / 1000:,.0f} k" for suite in ("autoattack", "crossfire")]
        shares = [f"{value:.1f}" for value in (*left, ours)]
        lines.append(f"| {' | '.join([name, *shares, str(missed), str(extra), *passes])} |")
    return "\n".join(lines)


def alarms(runs: Runs) -> str:
    """How often `crossfire` went on to all of AutoAttack, by norm."""
    measured: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for record in (r for seeds in runs.values() for tags in seeds.values() for r in tags["best"]):
        measured.update(v.threat for v in record.verdicts if v.suite == "crossfire")
        said = [finding.message for finding in record.findings if finding.id == "A16"]
        whole.update(message.rpartition(": ")[0] for message in said if "fab" in message)
    counts = (f"{whole[threat]} of {rows} in {threat}" for threat, rows in measured.items())
    return f"crossfire went on to all of AutoAttack for {', '.join(counts)}"


if __name__ == "__main__":
    found = read(sys.argv[1])
    print(table(found), claims(found), by_autoattack(found), alarms(found), sep="\n\n")

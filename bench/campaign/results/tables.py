"""The tables of a campaign: accuracies and costs of its runs, and comparisons of pairs."""

import csv
import io
from collections.abc import Sequence
from statistics import mean, stdev

from bench.campaign.execution.plan import Plan
from bench.campaign.results.autoattack import REFERENCE, against_autoattack
from bench.campaign.results.columns import Column, column_of
from bench.campaign.results.records import Collected, SeedRecords, main_tag
from bench.report.listing import Listing
from leaderboard.budget import NORMS
from leaderboard.flags import count
from leaderboard.seeds import Runs, compare_runs
from leaderboard.separation import holm

STRONGEST = {REFERENCE: 1, "crossfire": 2}
"""The places of suites after all others: the last suite decides the order of runs."""


def columns(runs: Collected) -> list[Column]:
    """The accuracies that exist for any run: of the main checkpoint under each norm and the union,
    of `last` under the union. AutoAttack comes after other suites and `crossfire` last; AutoAttack
    on the main checkpoint is left out if all its runs have a row in a table of its own."""
    main = main_tag(runs)
    everything = [one for seeds in runs.values() for one in seeds.values()]
    found = [column_of(runs, main, "clean")]
    for tag in dict.fromkeys((main, "last")):
        # What `of` takes from other checkpoints fills a further column, but is no reason for one.
        records = [one.of(tag) if tag == main else one.records.get(tag, []) for one in everything]
        verdicts = [verdict for some in records for record in some for verdict in record.verdicts]
        suites = dict.fromkeys(verdict.suite for verdict in verdicts)
        for suite in sorted(suites, key=lambda one: STRONGEST.get(one, 0)):
            if suite == REFERENCE and tag == main and _is_apart(runs):
                continue
            met = {v.threat.partition(":")[0] for v in verdicts if v.suite == suite}
            alone = [norm for norm in NORMS if norm in met]
            together = ["union"] if len(alone) > 1 else alone
            shown = [*alone, *together] if tag == main else together
            found += [column_of(runs, tag, under, suite) for under in dict.fromkeys(shown)]
    return found


def _is_apart(runs: Collected) -> bool:
    """Whether every run that AutoAttack attacked has a row in the table of AutoAttack."""
    beside, main = against_autoattack(runs), main_tag(runs)
    named = {row[0] for row in beside.rows} if beside else set[str]()
    attacked = {
        name
        for name, seeds in runs.items()
        for one in seeds.values()
        for record in one.of(main)
        if REFERENCE in record.protocol.suites
    }
    return attacked <= named


def accuracies(runs: Collected) -> Listing:
    """A row for each run, best first: accuracies in percent, and the cost of training. Titles name
    the number of images where it is not the same in all columns."""
    shown = columns(runs)
    merit = merit_column(shown, main_tag(runs))
    differ = len({column.examples for column in shown}) > 1
    titles = [f"{one.title}, {one.examples} images" if differ else one.title for one in shown]
    order = sorted(runs, key=lambda name: -mean(merit.values(runs[name]) or [-1.0]))
    rows = [
        (
            *(name, str(len(runs[name]))),
            *(_mean_text(column.values(runs[name])) for column in shown),
            *_cost(runs[name], merit.tag),
        )
        for name in order
    ]
    return Listing(
        "Runs",
        "mean ± standard deviation over seeds, in %; passes are images sent forward and backward "
        f"in training up to the {merit.tag} epoch",
        ("run", "seeds", *titles, "passes", "s"),
        rows,
    )


def merit_column(shown: Sequence[Column], tag: str) -> Column:
    """The column by which runs are ordered: the main checkpoint `tag` under all threats, by the
    last suite."""
    return [column for column in shown if column.tag == tag][-1]


def _mean_text(values: list[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def passes(seeds: dict[int, SeedRecords], tag: str) -> float | None:
    """Passes of training up to a checkpoint, mean over seeds; None where they are unknown."""
    spent = [one.training(tag) for one in seeds.values()]
    totals = [s["forward_passes"] + s["backward_passes"] for s in spent if "forward_passes" in s]
    return float(mean(totals)) if totals else None


def _cost(seeds: dict[int, SeedRecords], tag: str) -> tuple[str, str]:
    total = passes(seeds, tag)
    spent = [one.training(tag) for one in seeds.values()]
    seconds = [one["seconds"] for one in spent if "seconds" in one]
    return f"{total / 1000:,.0f} k" if total else "", f"{mean(seconds):.0f}" if seconds else ""


def comparisons(plan: Plan, runs: Collected) -> Listing:
    """A row for each pair that the file names: the difference in percentage points over all seeds,
    the smallest and largest of one seed, and the p-value over images and seeds
    (`leaderboard.seeds`)."""
    main = main_tag(runs)
    pairs = [
        (compare, one, other)
        for compare in plan.campaign.compares
        for pair in [{name: runs[name] for name in (compare.a, compare.b) if name in runs}]
        for under in [column_of(pair, main, compare.under, compare.suite)]
        if (one := under.runs(runs.get(compare.a, {})))
        and (other := under.runs(runs.get(compare.b, {})))
    ]
    tests = [compare_runs(one, other) for _, one, other in pairs]
    corrected = holm([test.p for test in tests])
    return Listing(
        "Comparisons",
        "p of the two-way test over images and seeds (McNemar's for two single models), by itself "
        "and after Holm's correction for all pairs",
        ("a", "b", "under", "seeds", "a − b", "by seed", "p", "Holm"),
        [
            (
                *(compare.a, compare.b, f"{compare.under} {compare.suite}"),
                " and ".join(dict.fromkeys(str(len(side.flags)) for side in (one, other))),
                *(f"{100 * test.gap:+.1f}", _by_seed(one, other)),
                *(f"{test.p:.2g}", f"{p:.2g}"),
            )
            for (compare, one, other), test, p in zip(pairs, tests, corrected, strict=True)
        ],
    )


def _by_seed(a: Runs, b: Runs) -> str:
    """The smallest and largest difference, in percentage points, over the common seeds."""
    one, other = (dict(zip(side.seeds, side.flags, strict=True)) for side in (a, b))
    gaps = [100 * (count(one[s]) - count(other[s])) / a.examples for s in one if s in other]
    return f"{min(gaps):+.1f} to {max(gaps):+.1f}" if len(gaps) > 1 else ""


def to_csv(listings: Sequence[Listing]) -> str:
    """The tables one below the other; the deviation after `±` gets a column of its own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, listing in enumerate(listings):
        if number:
            writer.writerow([])
        split = [any(" ± " in row[i] for row in listing.rows) for i in range(len(listing.head))]
        writer.writerow(
            [
                name
                for head, is_split in zip(listing.head, split, strict=True)
                for name in _heads(head, is_split)
            ]
        )
        for row in listing.rows:
            cells = zip(row, split, strict=True)
            writer.writerow([part for cell, is_split in cells for part in _cells(cell, is_split)])
    return text.getvalue()


def _heads(head: str, is_split: bool) -> list[str]:
    return [head, f"{head} sd"] if is_split else [head]


def _cells(cell: str, is_split: bool) -> list[str]:
    value, _, spread = cell.partition(" ± ")
    plain = value.replace(",", "").replace(" k", "000") if value.endswith(" k") else value
    return [plain, spread] if is_split else [plain]

"""AutoAttack compared with another suite on the same checkpoints."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.campaign.results.columns import Column, column_of
from bench.campaign.results.records import Collected, SeedRecords, main_tag
from bench.report.listing import Listing
from leaderboard.flags import disagreements

REFERENCE, SUITE = "autoattack", "crossfire"


def against_autoattack(runs: Collected) -> Listing | None:
    """A row for each run that both suites attacked on the same images and under the same threats,
    with its first such seed; None without any."""
    under = ("linf", "l2", "l1", "union")
    theirs = [column_of(runs, main_tag(runs), one, REFERENCE) for one in under]
    shown = [*theirs, replace(theirs[-1], suite=SUITE)]
    rows = [row for name, seeds in runs.items() for row in _row(name, seeds, shown)]
    note = (
        f"missed: verdicts that {REFERENCE} broke and {SUITE} did not; extra: the reverse; "
        "passes are those of the attacks"
    )
    head = ("run", "linf", "l2", "l1", "union", f"union, {SUITE}", "missed", "extra")
    title = f"{SUITE} beside AutoAttack"
    cost = (f"passes, {REFERENCE}", f"passes, {SUITE}")
    return Listing(title, note, (*head, *cost), rows) if rows else None


def alarms(runs: Collected) -> Listing | None:
    """A row for each threat: in how many verdicts an alarm made the suite repair the model, and run
    all of AutoAttack; None if the suite was not run."""
    verdicts: Counter[str] = Counter()
    ran: Counter[tuple[str, str]] = Counter()
    tag, everyone = main_tag(runs), [one for seeds in runs.values() for one in seeds.values()]
    for record in (record for one in everyone for record in one.of(tag)):
        verdicts.update(v.threat for v in record.verdicts if v.suite == SUITE)
        for message in (finding.message for finding in record.findings if finding.id == "A16"):
            threat = message.rpartition(": ")[0]
            ran.update((threat, work) for work in ("margin-repaired", "fab") if work in message)
    rows: list[tuple[str, ...]] = [
        (threat, str(count), str(ran[threat, "margin-repaired"]), str(ran[threat, "fab"]))
        for threat, count in verdicts.items()
    ]
    note = (
        f"verdicts, and in how many of them an alarm made {SUITE} repair the model, and run all of "
        "AutoAttack"
    )
    head = ("threat", "verdicts", "repaired", "AutoAttack")
    return Listing("Alarms", note, head, rows) if rows else None


def _row(
    name: str, seeds: dict[int, SeedRecords], shown: Sequence[Column]
) -> Iterator[tuple[str, ...]]:
    """The row of a run, if it has one; the last two columns are compared verdict by verdict."""
    for seed, one in seeds.items():
        theirs, ours = (column.verdicts(one) for column in shown[-2:])
        if not theirs or not ours:
            continue
        values = [column.values({seed: one}) for column in shown]
        pairs = [disagreements(ours[threat].flags, theirs[threat].flags) for threat in ours]
        passes = [
            sum(v.forward_passes + v.backward_passes for v in verdicts.values())
            for verdicts in (theirs, ours)
        ]
        yield (
            name,
            *("".join(f"{accuracy:.1f}" for accuracy in found) for found in values),
            *(str(sum(counts)) for counts in zip(*pairs, strict=True)),
            *(f"{count / 1000:,.0f} k" for count in passes),
        )
        return

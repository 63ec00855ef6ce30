"""AutoAttack compared with another suite on the same checkpoints."""

from collections import Counter
from collections.abc import Iterator

from bench.campaign.results.records import Runs, SeedRecords
from bench.report.listing import Listing
from leaderboard.flags import number

REFERENCE = "autoattack"


def against_autoattack(runs: Runs, suite: str = "crossfire") -> Listing | None:
    """A row for each run that both suites attacked, with its first such seed; None without any."""
    rows = [row for name, seeds in runs.items() for row in _row(name, seeds, suite)]
    note = (
        f"missed: verdicts that {REFERENCE} broke and {suite} did not; extra: the reverse; "
        "passes are those of the attacks"
    )
    head = ("run", "linf", "l2", "l1", "union", f"union, {suite}", "missed", "extra")
    title = f"{suite} beside AutoAttack"
    cost = (f"passes, {REFERENCE}", f"passes, {suite}")
    return Listing(title, note, (*head, *cost), rows) if rows else None


def alarms(runs: Runs, suite: str = "crossfire") -> Listing | None:
    """A row for each threat: in how many verdicts an alarm made the suite repair the model, and run
    all of AutoAttack; None if the suite was not run."""
    verdicts: Counter[str] = Counter()
    ran: Counter[tuple[str, str]] = Counter()
    for record in (r for seeds in runs.values() for m in seeds.values() for r in m.records["best"]):
        verdicts.update(v.threat for v in record.verdicts if v.suite == suite)
        for message in (finding.message for finding in record.findings if finding.id == "A16"):
            threat = message.rpartition(": ")[0]
            ran.update((threat, work) for work in ("margin-repaired", "fab") if work in message)
    rows: list[tuple[str, ...]] = [
        (threat, str(count), str(ran[threat, "margin-repaired"]), str(ran[threat, "fab"]))
        for threat, count in verdicts.items()
    ]
    note = (
        f"verdicts, and in how many of them an alarm made {suite} repair the model, and run all of "
        "AutoAttack"
    )
    head = ("threat", "verdicts", "repaired", "AutoAttack")
    return Listing("Alarms", note, head, rows) if rows else None


def _row(name: str, seeds: dict[int, SeedRecords], suite: str) -> Iterator[tuple[str, ...]]:
    for one in seeds.values():
        accuracies = [
            one.accuracy("best", norm, REFERENCE) for norm in ("linf", "l2", "l1", "union")
        ]
        ours = one.accuracy("best", "union", suite)
        if accuracies[-1] is None or ours is None:
            continue
        verdicts = [v for record in one.records["best"] for v in record.verdicts]
        flags = {(v.suite, v.threat): number(v.flags) for v in verdicts}
        pairs = [(f, flags.get((REFERENCE, t), f)) for (s, t), f in flags.items() if s == suite]
        missed = sum((own & ~reference).bit_count() for own, reference in pairs)
        extra = sum((reference & ~own).bit_count() for own, reference in pairs)
        counts = [
            sum(v.forward_passes + v.backward_passes for v in verdicts if v.suite == which)
            for which in (REFERENCE, suite)
        ]
        cells = ["" if value is None else f"{value:.1f}" for value in (*accuracies, ours)]
        passes = [f"{count / 1000:,.0f} k" for count in counts]
        yield (name, *cells, str(missed), str(extra), *passes)
        return

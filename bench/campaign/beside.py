"""What AutoAttack left standing beside what another suite left, on the same checkpoints."""

from collections import Counter
from collections.abc import Iterator

from bench.campaign.found import Measured, Runs
from bench.report.listing import Listing
from leaderboard.flags import number

REFERENCE = "autoattack"


def beside(runs: Runs, suite: str = "crossfire") -> Listing | None:
    """A row a run that both suites attacked, with its first such seed; None if there is none."""
    rows = [row for name, seeds in runs.items() for row in _row(name, seeds, suite)]
    note = (
        f"missed: verdicts that {REFERENCE} broke and {suite} left; extra: the reverse; passes are "
        "those of the attacks"
    )
    head = ("run", "linf", "l2", "l1", "union", f"union, {suite}", "missed", "extra")
    title = f"{suite} beside AutoAttack"
    spent = (f"passes, {REFERENCE}", f"passes, {suite}")
    return Listing(title, note, (*head, *spent), rows) if rows else None


def alarms(runs: Runs, suite: str = "crossfire") -> Listing | None:
    """A row a threat: of how many records' verdicts an alarm made the suite run all of AutoAttack;
    None if the suite was not run."""
    measured: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for record in (r for seeds in runs.values() for m in seeds.values() for r in m.records["best"]):
        measured.update(v.threat for v in record.verdicts if v.suite == suite)
        said = [finding.message for finding in record.findings if finding.id == "A16"]
        whole.update(message.rpartition(": ")[0] for message in said if "fab" in message)
    rows: list[tuple[str, ...]] = [
        (threat, str(count), str(whole[threat])) for threat, count in measured.items()
    ]
    note = f"verdicts, and for how many of them {suite} went on to all of AutoAttack"
    return Listing("Alarms", note, ("threat", "verdicts", "AutoAttack"), rows) if rows else None


def _row(name: str, seeds: dict[int, Measured], suite: str) -> Iterator[tuple[str, ...]]:
    for one in seeds.values():
        left = [one.share("best", norm, REFERENCE) for norm in ("linf", "l2", "l1", "union")]
        ours = one.share("best", "union", suite)
        if left[-1] is None or ours is None:
            continue
        verdicts = [v for record in one.records["best"] for v in record.verdicts]
        flags = {(v.suite, v.threat): number(v.flags) for v in verdicts}
        pairs = [(f, flags.get((REFERENCE, t), f)) for (s, t), f in flags.items() if s == suite]
        missed = sum((found & ~theirs).bit_count() for found, theirs in pairs)
        extra = sum((theirs & ~found).bit_count() for found, theirs in pairs)
        spent = [
            sum(v.forward_passes + v.backward_passes for v in verdicts if v.suite == which)
            for which in (REFERENCE, suite)
        ]
        shares = ["" if value is None else f"{value:.1f}" for value in (*left, ours)]
        passes = [f"{count / 1000:,.0f} k" for count in spent]
        yield (name, *shares, str(missed), str(extra), *passes)
        return

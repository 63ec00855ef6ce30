"""What the published records say beyond their tables.

    python benchmarks/recount.py

Verdicts that PGD-100 broke and `crossfire` left; in which arithmetic attacks were made; what
students of a teacher cost in training with their teacher's training counted; and `mat` against ℓ∞
beside `at`, all of them with the first seed.
"""

from collections import Counter, defaultdict
from pathlib import Path, PurePath
from statistics import mean

from leaderboard.flags import conjunction, count, number
from leaderboard.schema import Record
from leaderboard.store import Board

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
    """A row a student: passes in thousands of images, its own and with its teacher's."""
    spent = {(r.data.name, run(r)): training_passes(r) for r in records}
    rows: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for record in records:
        teacher = record.model.config.get("teacher")
        if teacher:
            name = record.data.name
            own = spent[name, run(record)]
            rows[name, run(record).rpartition("-")[0]].append((own, own + spent[name, teacher]))
    lines = ["| images | student | seeds | passes | with its teacher's |", "|---|---|--:|--:|--:|"]
    for (name, student), seeds in sorted(rows.items()):
        own, whole = (mean(each) / 1000 for each in zip(*seeds, strict=True))
        lines.append(f"| {name} | {student} | {len(seeds)} | {own:,.0f} k | {whole:,.0f} k |")
    return "\n".join(lines)


def first_seed(records: list[Record]) -> str:
    """A row a run on digits of `at` or of `mat` against ℓ∞ with seed 0: accuracies in percent."""
    lines = ["| run | linf PGD-100 | linf crossfire |", "|---|--:|--:|"]
    found = {
        run(record).removesuffix("-0"): record
        for record in records
        if record.data.name == "digits" and "crossfire" in record.protocol.suites
        if run(record) == "at-0" or (run(record).startswith("mat-linf") and seed(record) == 0)
    }
    for name, record in sorted(found.items()):
        kept = {v.suite: v.flags for v in record.verdicts if v.threat.startswith("linf")}
        cells = [
            f"{100 * count(conjunction([record.clean, kept[suite]])) / record.data.examples:.1f}"
            for suite in ("pgd-100", "crossfire")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


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
    published, further = (list(Board(BOARDS / n).records()) for n in ("published", "further"))
    missed, total = left_by_crossfire(published)
    print(f"broken by pgd-100 and left by crossfire: {missed} of {total:,} verdicts")
    found = by_arithmetic(published)
    for arithmetic, (made, passes) in sorted(found.items()):
        whole = sum(other for _, other in found.values())
        share = f"{100 * passes / whole:.1f} % of all passes"
        print(f"attacks in {arithmetic}: {made} of {len(published)} records, {share}")
    print(students(published), first_seed(published + further), sep="\n\n")

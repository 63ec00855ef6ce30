"""The columns of a campaign's tables: accuracies on the same images and under the same threats."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from bench.campaign.results.records import Collected, SeedRecords
from leaderboard.flags import conjunction, count
from leaderboard.schema import Record, Verdict
from leaderboard.seeds import Runs


@dataclass(frozen=True)
class Column:
    """The accuracy of one checkpoint: clean, or under a norm, a threat or the `union` by a suite.

    It stands for the same `threats` and the images with the hash `data` in every row; a run that
    was not attacked on all of these has no value.
    """

    tag: str
    under: str
    suite: str
    threats: frozenset[str]
    data: str
    examples: int

    @property
    def title(self) -> str:
        """`clean`, `linf pgd-100`, or `union pgd-100, last`."""
        if self.under == "clean":
            return "clean"
        return f"{self.under} {self.suite}{', last' if self.tag == 'last' else ''}"

    def verdicts(self, one: SeedRecords) -> dict[str, Verdict]:
        """Threat -> the verdict of a run with one seed; empty where any of the threats is missing,
        and for `clean`."""
        found = {
            verdict.threat: verdict
            for record in self._records(one)
            for verdict in record.verdicts
            if verdict.suite == self.suite and verdict.threat in self.threats
        }
        return found if found.keys() == self.threats else {}

    def flags(self, one: SeedRecords) -> str | None:
        """Packed flags: correct when clean and under every threat; None where that is unknown."""
        records, verdicts = self._records(one), self.verdicts(one)
        if not records or (self.under != "clean" and not verdicts):
            return None
        return conjunction([records[0].clean, *(verdict.flags for verdict in verdicts.values())])

    def runs(self, seeds: dict[int, SeedRecords]) -> Runs | None:
        """The flags of all evaluated seeds of a run; None without any."""
        packed = {seed: self.flags(one) for seed, one in sorted(seeds.items())}
        known = {seed: flags for seed, flags in packed.items() if flags is not None}
        return Runs(tuple(known.values()), self.examples, tuple(known)) if known else None

    def values(self, seeds: dict[int, SeedRecords]) -> list[float]:
        """In percent, one for each evaluated seed."""
        found = self.runs(seeds)
        return [100 * count(flags) / self.examples for flags in found.flags] if found else []

    def _records(self, one: SeedRecords) -> list[Record]:
        return [record for record in one.of(self.tag) if record.data.sha256 == self.data]


def column_of(runs: Collected, tag: str, under: str, suite: str = "") -> Column:
    """The column that most seeds of all runs have, so that a further evaluation of a few changes no
    other. Of the sets of images and threats that occur, preferred in this order: several norms; the
    set of most seeds; the set that most seeds' evaluations contain; more threats; more images.
    """
    everyone = [one for seeds in runs.values() for one in seeds.values()]
    met = Counter(column for one in everyone for column in _columns(one.of(tag), tag, under, suite))

    def merit(column: Column) -> tuple[int, ...]:
        norms = {threat.partition(":")[0] for threat in column.threats}
        having = sum(column.flags(one) is not None for one in everyone)
        return min(len(norms), 2), met[column], having, len(column.threats), column.examples

    return max(met, key=merit, default=Column(tag, under, suite, frozenset(), "", 0))


def _columns(records: list[Record], tag: str, under: str, suite: str) -> Iterator[Column]:
    """For each set of images of one seed, the column under all its matching threats."""
    for data, examples in {one.data.sha256: one.data.examples for one in records}.items():
        threats = frozenset(
            verdict.threat
            for record in records
            for verdict in record.verdicts
            if record.data.sha256 == data and verdict.suite == suite
            if under in ("union", verdict.threat, verdict.threat.partition(":")[0])
        )
        yield Column(tag, under, suite, threats, data, examples)

"""Protocol versions: accuracies that were measured by different versions are not compared."""

from collections.abc import Iterable

from leaderboard.schema import Record


def newest(records: Iterable[Record]) -> list[Record]:
    """Of each evaluation (same examples, threats and suites) the records of the newest protocol
    version, in their order."""
    records = list(records)
    versions: dict[tuple[object, ...], int] = {}
    for record in records:
        key, version = _evaluation(record), record.protocol.version
        versions[key] = max(version, versions.get(key, version))
    return [r for r in records if r.protocol.version == versions[_evaluation(r)]]


def _evaluation(record: Record) -> tuple[object, ...]:
    data, protocol = record.data, record.protocol
    return (data.called, data.split, data.sha256, protocol.threats, protocol.suites)

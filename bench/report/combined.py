"""Accuracy under a threat against all suites of the protocol together."""

from leaderboard.flags import conjunction
from leaderboard.frame import Cells
from leaderboard.ranking import Row
from leaderboard.schema import Record
from leaderboard.seeds import estimate

_ENDS = ("", "_low", "_high")


def under(record: Record, threat: str) -> str:
    """Packed flags of the examples that are robust under one threat: clean AND every suite."""
    return conjunction([record.clean, *(v.flags for v in record.verdicts if v.threat == threat)])


def accuracies(row: Row, cells: Cells) -> Cells:
    """The row's cells, and its mean accuracy under each threat, such as `linf:8/255`, with the ends
    of its interval, `..._low` and `..._high`; all in [0, 1]."""
    combined, protocol = dict(cells), row.head.protocol
    for threat in protocol.threats:
        if len(protocol.suites) == 1:
            named = {end: cells[f"{threat}/{protocol.suites[0]}{end}"] for end in _ENDS}
        else:
            flags = [under(run, threat) for run in row.runs]
            named = dict(zip(_ENDS, estimate(flags, row.head.data.examples), strict=True))
        combined |= {f"{threat}{end}": value for end, value in named.items()}
    return combined

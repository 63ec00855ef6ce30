"""Identifies public data sets by their content, whatever file they are read from."""

from bench.data.splits import Split
from leaderboard.known import KNOWN


def identify(test: Split, examples: int) -> str | None:
    """The public data set whose test set begins with the first `examples` of `test`.

    The shortest known prefix that covers them is compared; None if there is none or it differs.
    """
    for known in KNOWN:
        if known.split == "test" and known.shape == test.shape:
            covering = [n for n in sorted(known.prefixes) if examples <= n <= len(test)]
            if covering and test.take(covering[0]).sha256() == known.prefixes[covering[0]]:
                return known.dataset
    return None

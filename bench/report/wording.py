"""How numbers, ranks and threats are written, in every format alike."""

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from leaderboard.frame import Cells, measured

NORMS = {"linf": "ℓ∞", "l2": "ℓ2", "l1": "ℓ1"}
"""The symbols of the norms."""

UNION_ALONE = (
    "only the union counts: an example that one threat broke was not attacked under the next, so "
    "the columns of single threats mean nothing"
)
"""The note below a table that was measured with --union-only."""


RANKS = (
    "A rank runs from 1 + the number of rows that are significantly better to the number of rows - "
    "those that are significantly worse. Every two rows are tested over images and seeds (over "
    "images alone where both have one run), at 5 % for the whole table by Holm's method."
)
"""The note below every table with ranks."""


_PARTS = re.compile(r"(\w+):(\d+/\d+|[^/]+)/(.+)")
"""A budget may have a slash, `8/255`, and so may the name of a suite, `l2l:runs/l2l`; only one that
begins with digits and a slash would be mistaken."""


class ColumnName(NamedTuple):
    """The three parts of the name of a column under one threat."""

    norm: str
    epsilon: str
    suite: str

    @property
    def threat(self) -> str:
        """The threat as it was typed: `linf:8/255`."""
        return f"{self.norm}:{self.epsilon}"

    @property
    def heading(self) -> str:
        """The threat as it's written in headings: `linf 8/255`."""
        return f"{self.norm} {self.epsilon}"


def attacked(row: Cells) -> dict[str, ColumnName]:
    """The measured columns other than `clean` and `union`: `linf:8/255/pgd-100` in its parts."""
    parts = {name: _PARTS.fullmatch(name) for name in measured(row)}
    return {name: ColumnName(*found.groups()) for name, found in parts.items() if found}


def percent(share: float) -> str:
    """0.8412 as `84.1`."""
    return f"{100 * share:.1f}"


def bounds(row: Cells, column: str, digits: int = 1) -> str:
    """The interval of an accuracy in percent, `81.7–86.2`, rounded outwards."""
    scale = 10**digits
    # Ends are stored to six decimals; a millionth must not push a whole number over its edge.
    low = math.floor(100 * scale * row[f"{column}_low"] + 1e-3) / scale
    high = math.ceil(100 * scale * row[f"{column}_high"] - 1e-3) / scale
    return f"{low:.{digits}f}–{high:.{digits}f}"


def rank(row: Cells) -> str:
    """The ranks that a row may have, `1–4` or `5`; `–` while a flag is open."""
    low, high = row["rank_low"], row["rank_high"]
    return "–" if low is None else f"{low}" if low == high else f"{low}–{high}"


def symbol(threat: str) -> str:
    """`linf:8/255` as `ℓ∞ 8/255`, and a norm alone as its symbol."""
    norm, _, epsilon = threat.partition(":")
    return f"{NORMS.get(norm, norm)} {epsilon}".strip()


def compact(number: int | float) -> str:
    """A count in three characters and a unit: `4.1 M`."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.3g}"


def short(sha256: str) -> str:
    """The first eight characters of a hash; of several hashes, the first's."""
    return sha256[:8]


def runs(row: Cells) -> str:
    """`3 runs ± 0.8`: how many seeds the row joins, and the spread of their union in points."""
    return f"{row['runs']} runs ± {percent(row['union_sd'])}" if row["runs"] > 1 else ""


class Remarks(NamedTuple):
    """Notes on a row; empty where there is none."""

    runs: str
    """How many, and their spread."""
    arithmetic: str
    """That of its attacks, where the table holds more than one."""
    flags: str
    """The open ones."""


def remarks(row: Cells) -> Remarks:
    """The notes on a row."""
    arithmetic = row["arithmetic"].replace(" ", "/") if " " in row["arithmetics"] else ""
    return Remarks(runs(row), arithmetic, row["flags"])


def passes(row: Cells) -> int | None:
    """Images sent forward and backward while training; None when that isn't known."""
    spent = [row["training_forward_passes"], row["training_backward_passes"]]
    return sum(spent) if all(part is not None for part in spent) else None


def row_id(row: Cells) -> str:
    """What names a row in addresses, in charts and in the page's script: its newest record."""
    return str(row["records"].split()[-1][:16])


def title(row: Cells) -> str:
    """What all rows of the table share: data, number of examples, protocol."""
    return (
        f"{row['dataset']} {row['split']} · {row['examples']:,} examples · "
        f"protocol v{row['protocol_version']} {short(row['protocol'])}"
    )


def suites(row: Cells) -> str:
    """`pgd-100 and crossfire`."""
    return " and ".join(dict.fromkeys(column.suite for column in attacked(row).values()))


def union(threats: Iterable[str]) -> str:
    """`union of linf 8/255, l2 0.5`."""
    return f"union of {', '.join(threat.replace(':', ' ') for threat in threats)}"


def scope(row: Cells) -> str:
    """Which attacks were run, and what the union is taken over."""
    threats = dict.fromkeys(column.threat for column in attacked(row).values())
    found = f"{suites(row)}; {union(threats)}"
    return f"{found}; {UNION_ALONE}" if row["union_only"] else found


def together(row: Cells) -> str:
    """The note on columns of one threat where the protocol has several suites."""
    several = " and " in suites(row)
    return f"each threat against {suites(row)} together" if several else ""

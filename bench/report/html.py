"""The leaderboard as one file for a browser: no network, sortable, with a card for every row.

This module writes the page with all numbers. When a reader unticks a threat, the page's script
computes accuracies and ranks again from the flags, by the rules of `leaderboard.ranking`.
"""

import base64
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.errors import reason
from bench.report import charts
from bench.report.combined import accuracies
from bench.report.curve import drawing
from bench.report.evidence import Cascade, cascades, curves, read_table
from bench.report.pictures import Picture, pictures
from bench.report.provenance import facts
from bench.report.wording import (
    RANKS,
    UNION_ALONE,
    bounds,
    compact,
    passes,
    percent,
    rank,
    row_id,
    short,
    symbol,
)
from leaderboard.budget import parse_threat
from leaderboard.diagnosis import Diagnosis, kept
from leaderboard.frame import Cells, cells
from leaderboard.published import SOURCE, Published, matching
from leaderboard.ranking import Row, Table
from leaderboard.seeds import in_order_of_seeds

CARDS = 100
"""Rows of a table whose evidence is shown; further rows have their provenance only."""


@dataclass(frozen=True)
class Card:
    """What a row shows of its evidence, which is that of its newest run."""

    curves: list[dict[str, Any]] = field(default_factory=list)
    """The coordinates that `page/curve.svg` draws."""
    cascades: list[Cascade] = field(default_factory=list)
    pictures: dict[str, list[Picture]] = field(default_factory=dict)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    """What `bench doctor` found about any of the row's weights."""
    damage: str = ""
    """Why the evidence can't be shown, if it is damaged."""


@dataclass(frozen=True)
class Line:
    """One row of a table, as the page needs it."""

    row: Row
    cells: Cells
    trained: str
    """The norm that it was trained against: `linf`, `l2`, `l1`, `several`, `none` or `unknown`."""
    extra: str
    """Whether training used other data: `yes`, `no` or `unknown`."""
    passes: int | None
    """Images sent forward and backward while training."""
    card: Card

    @property
    def facts(self) -> dict[str, str]:
        """Where the row comes from."""
        return facts(self.row)

    @property
    def id(self) -> str:
        """What names the row in addresses, in charts and in the script."""
        return row_id(self.cells)


@dataclass(frozen=True)
class Section:
    """One table of the page."""

    table: Table
    lines: list[Line]
    cost: str | None
    published: list[tuple[str, Published]]

    @property
    def ranked(self) -> list[Line]:
        """The rows with a rank."""
        return [line for line in self.lines if line.row.ranks is not None]

    @property
    def flagged(self) -> list[Line]:
        """The rows with an open flag."""
        return [line for line in self.lines if line.row.ranks is None]


def render(tables: list[Table], board: Path | None, published: bool = False) -> str:
    """The page for these tables, with evidence from the board's folder where it is there."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bench.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, short=short, symbol=symbol)
    environment.filters.update(compact=compact, rank=rank)
    environment.globals.update(bounds=bounds, parse_threat=parse_threat, union_alone=UNION_ALONE)
    environment.globals.update(ranks=RANKS, numbered=charts.NUMBERED)
    sections = [_section(table, board, published) for table in tables]
    return environment.get_template("page.html").render(
        sections=sections, data=[_data(section) for section in sections], source=SOURCE
    )


def _section(table: Table, board: Path | None, published: bool) -> Section:
    rows = cells(table)
    pairs = zip(table.rows, rows, strict=True)
    lines = [_line(row, cell, board if k < CARDS else None) for k, (row, cell) in enumerate(pairs)]
    threats = table.protocol.threats if published and not rows[0]["union_only"] else ()
    figures = [(t, model) for t in threats for model in matching(table.data.called, t)]
    return Section(table, lines, charts.cost(rows), figures)


def _line(row: Row, row_cells: Cells, board: Path | None) -> Line:
    training = row.head.model.training or {}
    norms = {parse_threat(threat).norm for threat in training.get("threats") or ()}
    trained = "several" if len(norms) > 1 else next(iter(norms), "none" if training else "unknown")
    extra = {True: "yes", False: "no", None: "unknown"}[row_cells["extra_data"]]
    card = _card(row, board) if board else Card()
    return Line(row, accuracies(row, row_cells), trained, extra, passes(row_cells), card)


def _card(row: Row, board: Path) -> Card:
    diagnoses = kept(board, (run.model.weights_sha256 for run in row.runs))
    try:
        return replace(_evidence(row, board), diagnoses=diagnoses)
    except Exception as error:  # a damaged file may raise any error
        return Card(diagnoses=diagnoses, damage=reason(error))


def _evidence(row: Row, board: Path) -> Card:
    table = read_table(board, row.head)
    if table is None:
        return Card()
    by_threat: dict[str, list[Picture]] = {}
    for picture in pictures(board, row.head, table):
        by_threat.setdefault(picture.threat, []).append(picture)
    drawn = [drawing(curve) for curve in curves(row.head, table)]
    return Card(drawn, cascades(row.head, table), by_threat)


def _data(section: Section) -> dict[str, Any]:
    """What the script needs to rank again: the packed flags of every run."""
    table = section.table
    return {
        "examples": table.data.examples,
        "threats": table.protocol.threats,
        "suites": table.protocol.suites,
        "rows": [_flags(line.row) for line in section.lines],
    }


def _flags(row: Row) -> dict[str, Any]:
    seeds, order = row.column("clean").seeds, in_order_of_seeds(row.column("clean"))
    measured = [row.runs[k].measured for k in order]
    return {
        "id": row.head.id,
        "name": row.name,
        "flagged": bool(row.flagged),
        "seeds": [seeds[k] for k in order] if seeds else [],
        "runs": [
            {name: _base64(flags) for name, flags in run.items() if name != "union"}
            for run in measured
        ],
    }


def _base64(flags: str) -> str:
    return base64.b64encode(bytes.fromhex(flags)).decode()

"""A diagnosis as a table for a terminal of 80 columns, followed by advice."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leaderboard.diagnosis import Check, Diagnosis

COLOURS = {"pass": "green", "warn": "yellow", "fail": "bold red", "n/a": "dim"}


def to_text(diagnosis: Diagnosis) -> str:
    """Every check with its value, threshold and verdict; then the advice; then the conclusion."""
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(Text(_title(diagnosis), "bold"))
        console.print(_grid(diagnosis.checks))
        for check in (*diagnosis.failed, *diagnosis.warned):
            console.print(_advice(check))
        reasons = dict.fromkeys(c.advice for c in diagnosis.checks if c.verdict == "n/a")
        for reason in reasons:
            console.print(Text(f"n/a: {reason}", "dim"))
        colour = "bold red" if diagnosis.failed else "bold green"
        console.print(Text(diagnosis.conclusion, colour))
    return capture.get().rstrip()


def _title(diagnosis: Diagnosis) -> str:
    measured = "not attacked"
    if diagnosis.correct is not None:
        measured = f"{diagnosis.correct} classified correctly, {diagnosis.standing} of them robust"
    return (
        f"{diagnosis.model} under {diagnosis.threat} on {diagnosis.dataset}: "
        f"{diagnosis.examples} images, {measured}"
    )


def _grid(checks: tuple[Check, ...]) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column("id", no_wrap=True)
    grid.add_column("check")
    grid.add_column("value", justify="right", no_wrap=True)
    grid.add_column("threshold")
    grid.add_column("verdict", no_wrap=True)
    for check in checks:
        verdict = Text(check.verdict, COLOURS[check.verdict])
        grid.add_row(check.id, check.name, check.shown, check.threshold, verdict)
    return grid


def _advice(check: Check) -> Text:
    head = Text(f"{check.verdict} {check.id}", COLOURS[check.verdict])
    return head.append(f" {check.name}: {check.advice} ({check.source}).", "default")

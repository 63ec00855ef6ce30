"""Displays of a campaign's state: a live table, a line for each event, or JSON."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from statistics import mean
from typing import TYPE_CHECKING

from bench.campaign.execution.state import Entry, State, Status
from bench.display import duration

if TYPE_CHECKING:
    from rich.console import Group

SHOWN: tuple[Status, ...] = ("running", "failed")
"""The states whose steps a live table lists; the others are only counted."""
ORDER: tuple[Status, ...] = ("done", "running", "waiting", "failed", "blocked")
SECONDS_BETWEEN_LINES = 300.0
"""Between two lines of a running step, where a display writes lines."""


@contextmanager
def display_state(
    mode: str | None, jobs: int, write: Callable[[str], object]
) -> Iterator[Callable[[State], None]]:
    """Yield a function that displays a state: `rich` on stderr, `plain` or `json` through `write`,
    or `none`. The default is rich on a terminal, else plain; nothing is shown where stderr is
    closed."""
    if sys.stderr is None:
        mode = "none"
    mode = mode or ("rich" if sys.stderr.isatty() else "plain")
    if mode == "rich":
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), auto_refresh=False) as live:
            yield lambda state: live.update(table(state, SHOWN, jobs), refresh=True)
    elif mode == "none":
        yield lambda state: None
    else:
        yield _lines(_as_json if mode == "json" else _as_text, jobs, write)


def table(state: State, shown: tuple[Status, ...], jobs: int) -> "Group":
    """The steps whose state is in `shown`, below a line with the counts of all states."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head, lines = Text(summary(state, jobs)), rows(state, shown)
    grid = Table(box=box.SIMPLE_HEAD)
    grid.add_column("step", overflow="fold")
    for name in ("state", "progress", "left"):
        grid.add_column(name, justify="left" if name == "state" else "right")
    grid.add_column("", overflow="fold", ratio=1)
    for line in lines:
        grid.add_row(*map(Text, line))
    return Group(head, grid) if lines else Group(head)


def rows(state: State, shown: tuple[Status, ...]) -> list[tuple[str, ...]]:
    """Step, state, progress, time left or spent, and the present phase or the reason of failure."""
    return [
        (key, _state(state, entry), _share(entry), _time(entry), _text(entry))
        for key, entry in state.entries.items()
        if entry.status in shown
    ]


def _state(state: State, entry: Entry) -> str:
    return "stopped" if entry.status == "running" and not state.alive else entry.status


def _text(entry: Entry) -> str:
    return entry.text or ("starting" if entry.status == "running" else "")


def _share(entry: Entry) -> str:
    if entry.status == "done":
        return "100 %"
    return f"{100 * entry.done // entry.total} %" if entry.total else ""


def _time(entry: Entry) -> str:
    if entry.status == "running":
        return duration(entry.left)
    return duration(entry.spent) if entry.spent else ""


def summary(state: State, jobs: int) -> str:
    """The number of steps in each state, and the time that the rest will take."""
    counts = [f"{n} {status}" for status in ORDER if (n := state.count(status))]
    left = seconds_left(state, jobs)
    more = f"; about {duration(left)} left" if left else ""
    return f"{len(state.entries)} steps: {', '.join(counts)}{more}"


def seconds_left(state: State, jobs: int) -> float | None:
    """Seconds to the end with `jobs` processes, if a step takes as long as the finished ones of its
    kind; None until one of each remaining kind is done."""
    left = 0.0
    for kind in ("train", "evaluate"):
        entries = [e for key, e in state.entries.items() if state.plan.steps[key].kind == kind]
        spent = [entry.spent for entry in entries if entry.status == "done" and entry.spent]
        remaining = [entry for entry in entries if entry.status in ("waiting", "running")]
        if remaining and not spent:
            return None
        for entry in remaining:
            known = entry.status == "running" and entry.left is not None
            left += entry.left if known and entry.left else mean(spent)
    return left / jobs


def as_json(state: State) -> str:
    """All steps as a JSON object in one line."""
    plain = {key: asdict(entry) for key, entry in state.entries.items()}
    counts = {status: state.count(status) for status in ORDER}
    return json.dumps({"alive": state.alive, "counts": counts, "steps": plain})


def _lines(
    line: Callable[[State, str, int], str], jobs: int, write: Callable[[str], object]
) -> Callable[[State], None]:
    """A function that writes a line for each step that begins or ends, and now and then for a
    running one. Steps that ended before the first call have none."""
    last: dict[str, tuple[str, float]] = {}

    def show(state: State) -> None:
        now = time.monotonic()
        for key, entry in state.entries.items():
            running = entry.status == "running"
            status, since = last.get(key, ("" if running else entry.status, now))
            if entry.status != status or (running and now - since >= SECONDS_BETWEEN_LINES):
                write(line(state, key, jobs))
                since = now
            last[key] = (entry.status, since)

    return show


def _as_text(state: State, key: str, jobs: int) -> str:
    entry = state.entries[key]
    text = f": {entry.text}" if entry.text else ""
    head = f"{entry.status} {key}"
    if entry.status == "done":
        return f"{head} in {duration(entry.spent)} ({summary(state, jobs)})"
    left = f" ({_share(entry)}, {duration(entry.left)} left)" if entry.total else ""
    return f"{head}{text}{left if entry.status == 'running' else ''}"


def _as_json(state: State, key: str, jobs: int) -> str:
    counts = {status: state.count(status) for status in ORDER}
    left = seconds_left(state, jobs)
    entry = asdict(state.entries[key])
    return json.dumps({"step": key, **entry, "counts": counts, "seconds_left": left})

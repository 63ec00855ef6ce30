"""Progress of long work and the remaining time, on stderr; stdout is for results."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.errors import unknown

Progress = Callable[[int, int, str], None]
"""`progress(done, total, text)`: units done in the current phase, and what is being done."""

MODES = ("rich", "plain", "json", "none")
SECONDS_BETWEEN_LINES = {"plain": 15.0, "json": 2.0}


class Clock:
    """Seconds left in a phase, from the speed since it began or was resumed."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._total, self._done, self._start = 0, 0, (0, now())

    def left(self, done: int, total: int) -> float | None:
        """None until the speed is known; another total or a smaller `done` begins a new phase."""
        if total != self._total or done < self._done:
            self._total, self._start = total, (done, self._now())
        self._done = done
        first, began = self._start
        if done == first:
            return None
        return (self._now() - began) / (done - first) * (total - done)


def duration(seconds: float | None) -> str:
    """Seconds as `1:02:03` or `2:03`; `-:--` when unknown."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def shown(mode: str | None = None) -> Iterator[Progress]:
    """Yield the callback that shows progress in one of `MODES`.

    Without a mode it is rich on a terminal and in a notebook, and plain elsewhere; nothing is shown
    where stderr is closed.

    Raises:
        CrossfireError: there is no such mode.
    """
    closed = sys.stderr is None
    live = not closed and (sys.stderr.isatty() or "ipykernel" in sys.modules)
    mode = mode or ("rich" if live else "plain")
    if mode not in MODES:
        raise unknown("display", mode, MODES)
    if mode == "none" or closed:
        yield lambda done, total, text: None
    elif mode == "rich":
        with _bar() as progress:
            yield progress
    else:
        yield _lines(_as_json if mode == "json" else _as_text, SECONDS_BETWEEN_LINES[mode])


def _as_text(done: int, total: int, text: str, left: float | None) -> str:
    return f"{text}: {done}/{total} ({100 * done // max(total, 1)} %), {duration(left)} left"


def _as_json(done: int, total: int, text: str, left: float | None) -> str:
    seconds = None if left is None else round(left, 1)
    return json.dumps({"text": text, "done": done, "total": total, "seconds_left": seconds})


def _lines(line: Callable[[int, int, str, float | None], str], pause: float) -> Progress:
    clock, shown = Clock(), float("-inf")

    def progress(done: int, total: int, text: str) -> None:
        nonlocal shown
        left, now = clock.left(done, total), time.monotonic()
        if done == total or now - shown >= pause:
            shown = now
            print(line(done, total, text, left), file=sys.stderr, flush=True)

    return progress


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    text_column = TextColumn(
        "{task.description}",
        markup=False,
        table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
    )
    columns = (
        text_column,
        BarColumn(24),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]} left"),
    )
    clock = Clock()
    # Other output is printed above the bar on a terminal, and goes to stdout elsewhere.
    above = sys.stdout.isatty()
    console = Console(stderr=True)
    with Bar(*columns, console=console, expand=True, transient=True, redirect_stdout=above) as bar:
        task = bar.add_task("", total=None, left=duration(None))

        def progress(done: int, total: int, text: str) -> None:
            left = duration(clock.left(done, total))
            bar.update(task, completed=done, total=total, description=text, left=left)

        yield progress

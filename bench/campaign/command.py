"""What `bench run` and `bench status` do."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.campaign.file import read
from bench.campaign.jobs import Jobs, LocalJobs, default_jobs
from bench.campaign.plan import Plan, make
from bench.campaign.run import Work, nowhere
from bench.campaign.state import State, locked
from bench.campaign.storage import Storage
from bench.campaign.view import ORDER, SHOWN, as_json, summary, table, view
from bench.errors import CrossfireError


def work(
    file: Path,
    *,
    jobs: int | None,
    ray: str | None,
    storage: str | None,
    minutes: float | None,
    display: str | None,
    write: Callable[[str], object],
    say: Callable[[str], object],
) -> int:
    """Work the campaign in `file` off; the exit code: 0, or 1 if a step failed.

    Raises:
        CrossfireError: the file is wrong, or another process is at work on it.
    """
    began, plan = time.monotonic(), make(read(file))
    jobs = jobs or default_jobs()
    deadline = began + 60 * minutes if minutes is not None else float("inf")
    with (
        locked(plan.campaign.home),
        places(plan, jobs, ray) as where,
        view(display, jobs, write) as show,
    ):
        store = Storage(storage, plan) if storage else None
        if store:
            store.restore()
        state = State.load(plan, ours=True)
        keep = store.keep if store else nowhere
        finished = Work(state, where, show, keep, deadline).run()
        if store:
            store.keep_state()
    say(summary(state, jobs))
    for key, entry in state.entries.items():
        if entry.status == "failed":
            say(f"failed: {key}: {entry.text}")
    if not finished:
        say("the time is up; the same command goes on where it was")
    return 1 if state.count("failed") else 0


def dry_run(file: Path, jobs: int | None, display: str | None) -> str:
    """What the campaign in `file` will cost.

    Raises:
        CrossfireError: the file is wrong, or a recipe can't be trained.
    """
    from bench.campaign.estimate import forecast
    from bench.display import display as shown

    plan = make(read(file))
    state = State.load(plan)
    with shown(display) as progress:
        found = forecast(plan, state, progress)
    return "\n".join([summary(state, 1), *found.lines(jobs or default_jobs())])


@contextmanager
def places(plan: Plan, jobs: int, ray: str | None) -> Iterator[Jobs]:
    """Where steps run: here, or on the Ray cluster at the address `ray`.

    Raises:
        CrossfireError: Ray is not installed, or nothing answers at the address.
    """
    campaign = plan.campaign
    if ray is None:
        yield LocalJobs(campaign.folder, jobs)
        return
    from bench.campaign.rayjobs import RayJobs
    from bench.cluster.pool import connected

    with connected(ray) as cluster:
        yield RayJobs(cluster, campaign.folder, jobs, campaign.cpus)


def status(file: Path, *, every: bool, plain: bool) -> str:
    """Where the campaign in `file` stands.

    Raises:
        CrossfireError: the file is wrong.
    """
    from rich.console import Console

    state = State.load(make(read(file)))
    if plain:
        return as_json(state)
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(table(state, ORDER if every else SHOWN, default_jobs()))
    return capture.get().rstrip()


def results(file: Path, form: str) -> str:
    """The tables of the campaign in `file` for the `terminal`, as `markdown` or `csv`, or its
    figure as `svg`.

    Raises:
        CrossfireError: the file is wrong, or none of its evaluations is done.
    """
    from bench.campaign import beside, found
    from bench.campaign.results import accuracies, comparisons, to_csv
    from bench.report.listing import render

    plan = make(read(file))
    runs = found.measured(plan)
    if not runs:
        raise CrossfireError(f"no evaluation of {file} is done; begin with: bench run {file}")
    if form == "svg":
        from bench.campaign.figure import svg

        return svg(runs, found.logs(plan))
    paired = comparisons(plan, runs)
    further = [paired if paired.rows else None, beside.beside(runs), beside.alarms(runs)]
    listings = [accuracies(runs), *(one for one in further if one)]
    return to_csv(listings) if form == "csv" else render(listings, form)

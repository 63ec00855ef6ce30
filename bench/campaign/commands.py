"""`bench run`, `bench status` and `bench results`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.campaign.definition.file import read
from bench.campaign.execution.display import ORDER, SHOWN, as_json, display_state, summary, table
from bench.campaign.execution.local_jobs import Jobs, LocalJobs, default_jobs
from bench.campaign.execution.plan import Plan, make
from bench.campaign.execution.scheduler import Scheduler, keep_locally
from bench.campaign.execution.state import State, locked
from bench.campaign.execution.storage import Storage
from bench.errors import CrossfireError


def run(
    file: Path,
    *,
    jobs: int | None,
    ray: str | None,
    storage: str | None,
    minutes: float | None,
    display: str | None,
    write_progress: Callable[[str], object],
    notify: Callable[[str], object],
) -> int:
    """Execute the campaign in `file`; return the exit code: 0, or 1 if a step failed.

    Raises:
        CrossfireError: the file is wrong, or another process executes it.
    """
    start, plan = time.monotonic(), make(read(file))
    jobs = jobs or default_jobs()
    deadline = start + 60 * minutes if minutes is not None else float("inf")
    with (
        locked(plan.campaign.state_folder),
        backend(plan, jobs, ray) as chosen,
        display_state(display, jobs, write_progress) as show,
    ):
        store = Storage(storage, plan) if storage else None
        if store:
            store.restore()
        state = State.load(plan, locked_here=True)
        keep = store.keep if store else keep_locally
        finished = Scheduler(state, chosen, show, keep, deadline).run()
        if store:
            store.keep_state()
    notify(summary(state, jobs))
    for key, entry in state.entries.items():
        if entry.status == "failed":
            notify(f"failed: {key}: {entry.text}")
    if not finished:
        notify("the time limit is reached; the same command resumes")
    return 1 if state.count("failed") else 0


def dry_run(file: Path, jobs: int | None, display: str | None) -> str:
    """The forecast cost of the campaign in `file`, as text.

    Raises:
        CrossfireError: the file is wrong, or a recipe can't be trained.
    """
    from bench.campaign.execution.cost import forecast
    from bench.display import shown

    plan = make(read(file))
    state = State.load(plan)
    with shown(display) as progress:
        costs = forecast(plan, state, progress)
    return "\n".join([summary(state, 1), *costs.lines(jobs or default_jobs())])


@contextmanager
def backend(plan: Plan, jobs: int, ray: str | None) -> Iterator[Jobs]:
    """What runs the steps: processes of this machine, or the Ray cluster at the address `ray`.

    Raises:
        CrossfireError: Ray is not installed, or no cluster is reachable at the address.
    """
    campaign = plan.campaign
    if ray is None:
        yield LocalJobs(campaign.folder, jobs)
        return
    from bench.campaign.execution.ray_jobs import RayJobs
    from bench.cluster.pool import connected

    with connected(ray) as cluster:
        yield RayJobs(cluster, campaign.folder, jobs, campaign.cpus)


def status(file: Path, *, all_steps: bool, json: bool) -> str:
    """The state of the steps of the campaign in `file`, as text or JSON.

    Raises:
        CrossfireError: the file is wrong.
    """
    from rich.console import Console

    state = State.load(make(read(file)))
    if json:
        return as_json(state)
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(table(state, ORDER if all_steps else SHOWN, default_jobs()))
    return capture.get().rstrip()


def results(
    file: Path, form: str, protocol_version: int | None, notify: Callable[[str], object]
) -> str:
    """The tables of the campaign in `file` for the `terminal`, as `markdown` or `csv`, or its
    figure as `svg`; of records of one version of the protocol, or of the newest. `notify` gets
    warnings.

    Raises:
        CrossfireError: the file is wrong, or none of its evaluations is done.
    """
    from bench.campaign.results.autoattack import against_autoattack, alarms
    from bench.campaign.results.records import collect, logs
    from bench.campaign.results.tables import accuracies, comparisons, to_csv
    from bench.report.listing import render

    plan = make(read(file))
    runs = collect(plan, protocol_version, notify)
    if not runs:
        by = f" by protocol version {protocol_version}" if protocol_version else ""
        raise CrossfireError(f"no evaluation of {file} is done{by}; begin with: bench run {file}")
    if form == "svg":
        from bench.campaign.results.figure import svg

        return svg(runs, logs(plan))
    paired = comparisons(plan, runs)
    further = [paired if paired.rows else None, against_autoattack(runs), alarms(runs)]
    listings = [accuracies(runs), *(one for one in further if one)]
    return to_csv(listings) if form == "csv" else render(listings, form)

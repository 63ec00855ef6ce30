"""Which run waits for which: a teacher that is another run of the same file."""

from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from bench.campaign.definition import Run
from bench.campaign.toml import Table
from bench.errors import unknown

TEACHERS = ("teacher", "natural_teacher")
"""Options that name a model: a run of the same file, or any other."""


def resolved(runs: list[Run], homes: dict[str, Table], folder: Path) -> list[Run]:
    """The runs with their teachers filled in.

    Raises:
        CrossfireError: a teacher doesn't exist or lacks a seed, or runs teach each other in a ring.
    """
    known = {run.name: run for run in runs if run.model is None}
    found = [replace(run, teachers=_teachers(run, known, homes, folder)) for run in runs]
    graph = {run.name: set(run.teachers.values()) for run in found}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        ring = list(reversed(error.args[1]))
        table = homes[known[ring[0]].group]
        ways = " waits for ".join(f"'{name}'" for name in ring)
        raise table.error(f"{ways}; a teacher must not be its own student", "teacher") from None
    return found


def _teachers(
    run: Run, known: dict[str, Run], homes: dict[str, Table], folder: Path
) -> dict[str, str]:
    teachers = {}
    for key in TEACHERS:
        name = run.options.given.get(key)
        if not name:
            continue
        if name in known:
            lacking = set(run.seeds) - set(known[name].seeds)
            if lacking:
                raise homes[run.group].error(
                    f"its teacher '{name}' has no seed {min(lacking)}; give both the same seeds",
                    key,
                )
            teachers[key] = name
        elif ":" not in name and not (folder / name).exists():
            raise homes[run.group].error(str(unknown("teacher", name, known)), key)
    return teachers

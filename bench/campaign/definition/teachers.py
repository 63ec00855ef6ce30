"""Teachers that are other runs of the same file."""

from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from bench.campaign.definition.campaign import Run
from bench.campaign.definition.toml import Table
from bench.errors import unknown
from bench.plugins import specs
from leaderboard.options import TEACHERS


def resolve_teachers(runs: list[Run], tables: dict[str, Table], folder: Path) -> list[Run]:
    """The runs with their teachers filled in.

    Raises:
        CrossfireError: a teacher does not exist or lacks a seed, or the teachers form a cycle.
    """
    known = {run.name: run for run in runs if run.model is None}
    found = [replace(run, teachers=_teachers(run, known, tables, folder)) for run in runs]
    graph = {run.name: set(run.teachers.values()) for run in found}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        table = tables[known[cycle[0]].group]
        cycle_text = " waits for ".join(f"'{name}'" for name in cycle)
        raise table.error(
            f"{cycle_text}; a teacher must not be its own student", "teacher"
        ) from None
    return found


def _teachers(
    run: Run, known: dict[str, Run], tables: dict[str, Table], folder: Path
) -> dict[str, str]:
    teachers = {}
    for key in TEACHERS:
        name = run.options.given.get(key)
        if not name:
            continue
        if name in known:
            missing = set(run.seeds) - set(known[name].seeds)
            if missing:
                raise tables[run.group].error(
                    f"its teacher '{name}' has no seed {min(missing)}; give both the same seeds",
                    key,
                )
            own = specs.parse(known[name].options.own_arch or "")
            if own and str(own.file) not in run.options.own_networks:
                raise tables[run.group].error(
                    f"its teacher '{name}' is a network of {own.file}, and this run's is not; "
                    "define both in one file",
                    key,
                )
            teachers[key] = name
        elif ":" not in name and not (folder / name).exists():
            raise tables[run.group].error(str(unknown("teacher", name, known)), key)
    return teachers

"""Reads a campaign's file, and checks all of it before any step starts."""

import re
from pathlib import Path
from typing import Any, get_type_hints

from bench.campaign.definition.campaign import Campaign, Compare, Evaluate, Kept, Run
from bench.campaign.definition.options import (
    MODEL_OPTIONS,
    Context,
    Options,
    check_data,
    check_suite,
    check_threats,
    grid,
    kind_of,
)
from bench.campaign.definition.teachers import resolve_teachers
from bench.campaign.definition.toml import Table, load
from bench.errors import CrossfireError, unknown
from bench.threats import NORMS, Threat

_TOP_KEYS = ("dataset", "seeds", "folder", "runs", "board", "images", "keep_weights", "cpus")
_TABLES = ("train", "evaluate", "run", "compare")
_SHARED = ("name", "defense", "model", "seeds", "board", "images")


def read(path: Path) -> Campaign:
    """The campaign in a TOML file.

    Raises:
        CrossfireError: the file is wrong; one line with the line number and the correction.
    """
    top = load(path)
    top.check((*_TOP_KEYS, *_TABLES))
    folder = (path.parent / top.get("folder", str, ".")).resolve()
    dataset = top.get("dataset", str, "digits")
    check_data(top, dataset, folder)
    seeds = _seeds(top, (0,))
    shared = top.table("train")
    tables = top.tables("run")
    if not tables:
        raise top.error('there is no run; write [[run]] and below it defense = "at"')
    context = Context(dataset, folder)
    runs = [run for one in tables for run in _runs(one, shared, context, seeds)]
    _check_names(runs, tables)
    runs = resolve_teachers(runs, {_name_of(table): table for table in tables}, folder)
    evaluations = _evaluations(top, runs, context)
    return Campaign(
        path=path,
        folder=folder,
        runs=tuple(runs),
        evaluations=evaluations,
        compares=tuple(_compare(one, runs, evaluations) for one in top.tables("compare")),
        dataset=dataset,
        checkpoints=top.get("runs", str, "runs"),
        board=top.get("board", str, "board"),
        images=top.get("images", Kept, "all"),
        keep_weights=top.get("keep_weights", Kept, "none"),
        cpus=_positive(top, "cpus", 1),
    )


def _seeds(table: Table, default: tuple[int, ...]) -> tuple[int, ...]:
    given = table.values.get("seeds")
    if isinstance(given, list):
        seeds: tuple[int, ...] = table.get("seeds", tuple[int, ...])
    else:
        seeds = default if given is None else tuple(range(table.get("seeds", int)))
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise table.error("seeds must be a number, 1 or more, or a list such as [0, 1]", "seeds")
    return seeds


def _positive(table: Table, key: str, default: int | None) -> Any:  # noqa: ANN401
    value = table.get(key, int, default)
    if value is not None and value < 1:
        raise table.error(f"{key} must be 1 or more", key)
    return value


def _runs(table: Table, shared: Table, context: Context, seeds: tuple[int, ...]) -> list[Run]:
    defense, model = table.get("defense", str), table.get("model", str)
    if (defense is None) == (model is None):
        raise table.error('a run has either a defense or a model; write defense = "at"')
    name = table.get("name", str, defense or model)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise table.error(
            f"'{name}' is no name of a run; give it a name of letters, digits and - _ .",
            "name",
        )
    own = Table(
        table.path,
        table.text,
        {key: value for key, value in table.values.items() if key not in _SHARED},
        table.name,
        table.index,
    )
    common = {
        "board": table.get("board", str),
        "images": table.get("images", Kept),
        "seeds": _seeds(table, seeds),
    }
    if model is not None:
        own.check(MODEL_OPTIONS)
        options = Options(None, {key: own.get(key, str) for key in own.values})
        return [Run(name, name, options=options, model=model, **{**common, "seeds": (0,)})]
    kind = kind_of(table, str(defense), context.folder)
    return [
        Run(name + suffix, name, options=options, **common)
        for suffix, options in grid(kind, str(defense), own, shared, context)
    ]


def _check_names(runs: list[Run], tables: list[Table]) -> None:
    seen: set[str] = set()
    for run in runs:
        if run.name in seen:
            table = [one for one in tables if _name_of(one) == run.group][-1]
            raise table.error(f"two runs are named '{run.name}'; rename one", "name")
        seen.add(run.name)
    trained = {f"{run.name}-{seed}" for run in runs if run.model is None for seed in run.seeds}
    for run in runs:
        if run.model is not None and run.name in trained:
            table = [one for one in tables if _name_of(one) == run.group][-1]
            raise table.error(f"'{run.name}' is also a run with its seed; rename one", "name")


def _name_of(table: Table) -> str:
    return str(table.values.get("name", table.values.get("defense", table.values.get("model"))))


def _evaluations(top: Table, runs: list[Run], context: Context) -> tuple[Evaluate, ...]:
    tables = top.tables("evaluate")
    if not tables:
        return (Evaluate(), Evaluate(checkpoint="last"))
    found = [_evaluation(table, runs, context) for table in tables]
    for number, (table, one) in enumerate(zip(tables, found, strict=True)):
        if one.name in [other.name for other in found[:number]]:
            raise table.error(f"two [[evaluate]] evaluate the {one.name}; merge them")
    return tuple(found)


def _evaluation(table: Table, runs: list[Run], context: Context) -> Evaluate:
    hints = get_type_hints(Evaluate)
    table.check(hints)
    values = {key: table.get(key, hints[key]) for key in table.values}
    for key in ("examples", "seeds"):
        _positive(table, key, None)
    if values.get("suites") == ():
        raise table.error('suites is an empty list; write suites = ["pgd-100"]', "suites")
    for suite in values.get("suites", ()):
        check_suite(table, suite, context.folder)
    check_threats(table, values.get("threat", "union"), context, values.get("budgets"))
    for name in values.get("runs") or ():
        check_run(table, "runs", name, runs)
    return Evaluate(**values)


def _compare(table: Table, runs: list[Run], evaluations: tuple[Evaluate, ...]) -> Compare:
    table.check(("a", "b", "under", "suite"))
    for key in ("a", "b"):
        if key not in table.values:
            raise table.error('a comparison names two runs; write a = "mat" and b = "at"')
        check_run(table, key, table.get(key, str), runs)
    found = Compare(**{key: table.get(key, str) for key in table.values})
    if found.under not in ("union", *NORMS):
        try:
            Threat.parse(found.under)
        except CrossfireError as error:
            raise table.error(f"{error}; or union, or a norm", "under") from None
    suites = sorted({suite for one in evaluations for suite in one.suites})
    if found.suite not in suites:
        raise table.error(
            f"no [[evaluate]] has the {unknown('suite', found.suite, suites)}", "suite"
        )
    return found


def check_run(table: Table, key: str, name: str, runs: list[Run]) -> None:
    """Check that a run of this name exists.

    Raises:
        CrossfireError: there is none; the message names the closest one.
    """
    names = {run.name for run in runs} | {run.group for run in runs}
    if name not in names:
        error: CrossfireError = unknown("run", name, names)
        raise table.error(str(error), key)

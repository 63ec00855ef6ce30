"""The options of a run: the fields of its defense and of the training job."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_origin, get_type_hints

import torch

from bench.campaign.definition.toml import Table
from bench.data import SOURCES, path_of
from bench.errors import CrossfireError, unknown
from bench.evaluation.suites import get as get_suite
from bench.models import build
from bench.plugins import specs
from bench.plugins.registry import defenses, get_defense, plugins
from bench.threats import BUDGETS, NORMS, Threat, budget_set, resolve
from bench.training import Job, check_ranges, check_used, recipes
from bench.training.start import check_fields, default_threat

MODEL_OPTIONS = ("arch", "weights", "normalize")
"""Options of a model that is only evaluated."""
_PER_RUN = ("dataset", "seed", "resume", "start")
"""Fields of a job that the campaign sets, or that it does not take."""
_TEXTS = {"threat": str, "budgets": str, "recipe": str}


class Context(NamedTuple):
    """The campaign's data set, and the folder that its paths are relative to."""

    dataset: str
    folder: Path


@dataclass(frozen=True)
class Options:
    """The options of a run by field name: those `given` in the file, and, with recipe and defaults,
    those of the defense (`own`) and of the job (`job`), its `threat` and `budgets` as text, and the
    `threats` that these stand for."""

    defense: str | None
    given: dict[str, Any]
    own: Mapping[str, Any] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    threat: str = ""
    budgets: str | None = None
    threats: str = ""

    @property
    def own_arch(self) -> str | None:
        """The architecture, if it is FILE.py:FUNCTION."""
        arch = str(self.job.get("arch", ""))
        return arch if specs.parse(arch) else None

    @property
    def own_networks(self) -> tuple[str, ...]:
        """The Python files of the networks that are trained."""
        archs = (self.job.get("arch", ""), *self.own.get("peers", ()))
        return tuple(str(spec.file) for spec in map(specs.parse, archs) if spec)


def flag(key: str, value: Any) -> tuple[str, ...]:  # noqa: ANN401
    """One option as arguments of a command."""
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return (f"--{name}" if value else f"--no-{name}",)
    if isinstance(value, tuple):
        return (f"--{name}", ",".join(map(_plain, value)))
    return (f"--{name}", _plain(value))


def _plain(value: Any) -> str:  # noqa: ANN401
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def kind_of(table: Table, defense: str, folder: Path) -> type[Any]:
    """The class of the defense that a run names.

    Raises:
        CrossfireError: there is none, or a field of it has the name of an option of every training.
    """
    own = defense.endswith(".py")
    if not own and defense not in _keys():
        raise table.error(str(unknown("defense", defense, _keys())), "defense")
    try:
        kind = get_defense(str(folder / defense)) if own else _defense(defense)
        check_fields(defense, kind)
    except CrossfireError as error:
        raise table.error(str(error), "defense") from None
    return kind


@cache
def _keys() -> frozenset[str]:
    return frozenset(defenses())


@cache
def _defense(name: str) -> type[Any]:
    return get_defense(name)


@cache
def hints(kind: type) -> dict[str, Any]:
    """Name and type of each field that is an option."""
    found = get_type_hints(kind)
    return {item.name: found[item.name] for item in fields(kind) if "help" in item.metadata}


def grid(
    kind: type, defense: str, own: Table, shared: Table, context: Context
) -> Iterator[tuple[str, Options]]:
    """The options of each point of a run's grid, with the suffix of the run's name.

    Raises:
        CrossfireError: an option is unknown, of the wrong type, or invalid.
    """
    job = {name: hint for name, hint in hints(Job).items() if name not in _PER_RUN}
    known = {**job, **hints(kind), **_TEXTS}
    shared.check({**job, **_TEXTS}, "option")
    base = {key: shared.get(key, known[key]) for key in shared.values}
    own.check(known, f"option of {defense}:")
    axes = [[(key, one) for one in _alternatives(own, key, known[key])] for key in own.values]
    for point in itertools.product(*axes):
        given = {**base, **dict(point)}
        varied = [(k, v) for k, v in point if _is_axis(own.values[k], known[k])]
        suffix = "".join(f"-{key.replace('_', '-')}-{_slug(value)}" for key, value in varied)
        yield suffix, _options(kind, defense, given, own, context)


def _is_axis(value: Any, hint: Any) -> bool:  # noqa: ANN401
    """Whether a value is a list of alternatives and not itself a list."""
    if not isinstance(value, list):
        return False
    return get_origin(hint) is not tuple or any(isinstance(one, list) for one in value)


def _alternatives(table: Table, key: str, hint: Any) -> list[Any]:  # noqa: ANN401
    value = table.values[key]
    if not _is_axis(value, hint):
        return [table.typed(key, value, hint)]
    if not value:
        raise table.error(f"{key} is an empty list; give one or more values", key)
    return [table.typed(key, one, hint) for one in value]


def _slug(value: Any) -> str:  # noqa: ANN401
    plain = "+".join(map(_plain, value)) if isinstance(value, tuple) else _plain(value)
    return re.sub(r"[^\w.+-]+", "-", plain)


def _options(
    kind: type, defense: str, given: dict[str, Any], table: Table, context: Context
) -> Options:
    """The options with every default filled in, split into those of the defense and of the job."""
    recipe = given.get("recipe")
    known = recipes(kind)
    if recipe is not None and recipe not in known:
        raise table.error(str(unknown("recipe", recipe, known)), "recipe")
    values = {**known.get(recipe or "", {}), **given}
    threat, budgets = values.get("threat", default_threat(kind)), values.get("budgets")
    check_threats(table, threat, context, budgets)
    _check_given(kind, values, table)
    own, job = ({n: values[n] for n in hints(one) if n in values} for one in (kind, Job))
    threats = threat_names(threat, context, budgets)
    try:
        check_ranges(kind(**own))
        check_used(kind(**own), several="," in threats or threats == "union")
        Job(Path(), (), **job)
        _check_arch(job.get("arch", "auto"), context.folder)
    except CrossfireError as error:
        raise table.error(str(error), _key_in(str(error), table)) from None
    everything = {k: v for k, v in (_defaults(Job) | job).items() if k not in _PER_RUN}
    return Options(defense, given, _defaults(kind) | own, everything, threat, budgets, threats)


def _check_given(kind: type, values: Mapping[str, Any], table: Table) -> None:
    for item in fields(kind):
        if "help" in item.metadata and _is_required(item) and item.name not in values:
            raise table.error(f"{item.name} has no default; give it a value")


def _is_required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _key_in(message: str, table: Table) -> str | None:
    words = message.replace("'", " ").replace("-", "_")
    texts = {key: str(value) for key, value in table.values.items()}
    return next((k for k, v in texts.items() if k in words or v in message), None)


@cache
def _defaults(kind: type) -> dict[str, Any]:
    return {item.name: _default(item) for item in fields(kind) if "help" in item.metadata}


def _default(item: Field[Any]) -> Any:  # noqa: ANN401
    if item.default_factory is not MISSING:
        return item.default_factory()
    return None if item.default is MISSING else item.default


@cache
def _check_arch(arch: str, folder: Path) -> None:
    if spec := specs.parse(arch):
        if not (folder / spec.file).is_file():
            raise CrossfireError(f"there is no {folder / spec.file}, which arch = '{arch}' names")
    elif arch != "auto":
        with torch.device("meta"):
            build(arch, classes=10, channels=3, size=(32, 32))


def check_data(table: Table, name: str, folder: Path) -> None:
    """Check that a data set exists.

    Raises:
        CrossfireError: its file or folder is missing, or its name is unknown or malformed.
    """
    try:
        path = path_of(name, folder)
    except CrossfireError as error:
        raise table.error(str(error), "dataset") from None
    if path is not None:
        path = folder / path
        if not (path.is_file() if name.startswith("npz:") else path.is_dir()):
            raise table.error(f"there is no {path}, which dataset = '{name}' names", "dataset")
    elif not re.match("hf:.", name):
        known = SOURCES.keys() | plugins("datasets").keys()
        if name not in known:
            raise table.error(str(unknown("data set", name, known)), "dataset")


def check_suite(table: Table, name: str, folder: Path) -> None:
    """Check that a suite exists; an attack `FILE.py:NAME` lies in `folder`.

    Raises:
        CrossfireError: its name is unknown, or its file has no such attack.
    """
    if name.startswith("l2l:"):
        return  # its attacker may be a run of this campaign
    try:
        get_suite(str(folder / name) if specs.parse(name) else name)
    except CrossfireError as error:
        raise table.error(str(error), "suites") from None


def check_threats(table: Table, text: str, context: Context, budgets: str | None) -> None:
    """Check the text of threats.

    Raises:
        CrossfireError: an entry is not a threat, or there is no such budget set.
    """
    try:
        threat_names(text, context, budgets)
    except CrossfireError as error:
        key = "budgets" if budgets and budgets in str(error) else "threat"
        raise table.error(str(error), key) from None


@cache
def threat_names(text: str, context: Context, budgets: str | None) -> str:
    """The threats that `text` stands for; for a user's own data, which are not loaded for this, the
    text itself.

    Raises:
        CrossfireError: `text` is malformed.
    """
    if budgets is not None and budgets.endswith(".toml"):
        budgets = str(context.folder / budgets)
    if context.dataset in BUDGETS:
        return ",".join(map(str, resolve(text, context.dataset, budgets)))
    for entry in (one.strip() for one in text.split(",")):
        if entry not in ("union", *NORMS):
            Threat.parse(entry)
    if budgets is not None and (budgets.endswith(".toml") or "/" in budgets):
        return f"{text} of {','.join(map(str, budget_set('custom', budgets)))}"
    return f"{text} of {budgets}"

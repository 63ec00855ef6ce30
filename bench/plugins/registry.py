"""The registry: a defense is a file of the package `defenses`, or an entry point of a package.

Other packages register under the group `crossfire.KIND`. Nothing is imported before it is used, so
a broken plugin does not affect the others.
"""

import ast
import dataclasses
import importlib.util
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from bench.errors import CrossfireError, reason, unknown
from bench.files import sha256_bytes

KINDS = ("defenses", "attacks", "suites", "datasets", "budgets", "models")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered object: its name, where it is defined, and how to load it.

    `what` is a short description, if there is one that needs no import.
    """

    name: str
    origin: str
    load: Callable[[], Any]
    what: str = ""


@cache
def plugins(kind: str) -> MappingProxyType[str, Entry]:
    """The entry points of packages installed when first asked, in the group `crossfire.KIND`, by
    name.

    Loading one raises CrossfireError when its package doesn't import.
    """
    found = sorted(entry_points(group=f"crossfire.{kind}"), key=lambda point: point.name)
    return MappingProxyType({point.name: _plugin(point) for point in found})


def choose(kind: str, name: str, entries: Mapping[str, Entry]) -> Any:  # noqa: ANN401
    """Load the entry called `name`.

    Raises:
        CrossfireError: there is none; the message names the closest one.
    """
    if name in entries:
        return entries[name].load()
    raise unknown(kind.removesuffix("s"), name, entries)


def defenses() -> dict[str, Entry]:
    """Every defense by its key: the name of its file or entry point, with hyphens for
    underscores."""
    ours = [_ours(name, what) for name, what in documented("defenses").items()]
    # Ours come last, so that no plugin can replace a defense of the leaderboard.
    found = {_key(entry.name): entry for entry in (*plugins("defenses").values(), *ours)}
    return {key: dataclasses.replace(entry, name=key) for key, entry in found.items()}


@cache
def documented(package: str) -> MappingProxyType[str, str]:
    """The public modules of a package and the summary of each one's docstring, without import."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    found = {}
    for info in pkgutil.iter_modules(folders):
        module = importlib.util.find_spec(f"{package}.{info.name}")
        if info.name[0] != "_" and module and module.origin:
            found[info.name] = _summary_of(Path(module.origin))
    return MappingProxyType(found)


def _summary_of(file: Path) -> str:
    try:
        return summary(ast.get_docstring(ast.parse(file.read_text())))
    except (SyntaxError, ValueError):
        return "does not parse"


def summary(docstring: str | None) -> str:
    """The first paragraph of a docstring as one line."""
    return " ".join((docstring or "").partition("\n\n")[0].split())


def get_defense(name: str) -> type[Any]:
    """The defense called `name`, or the one in the Python file that `name` is the path of.

    Raises:
        CrossfireError: there is none; its file doesn't import, or defines no single dataclass.
    """
    if name.endswith(".py"):
        found = _checked(load_file(Path(name)), name)
    else:
        found = _checked(choose("defenses", _key(name), defenses()), f"defense '{name}'")
    _NAMES[found] = recorded_name(name)
    return found


_NAMES: dict[type, str] = {}


def recorded_name(name: str) -> str:
    """The name in records of the defense that a command calls `name`: its key, or the name of its
    file, which keeps its suffix where one of ours has the same key."""
    if not name.endswith(".py"):
        return _key(name)
    path = Path(name)
    ours = path.stem.replace("-", "_") in documented("defenses")
    return _key(path.name if ours else path.stem)


def name_of(defense: object) -> str:
    """The name in records of a defense: that under which `get_defense` found its class, or else the
    name of its module; in a script or a notebook that of a file which is called like the class."""
    kind = type(defense)
    if kind.__module__ == "__main__":
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind.__name__)
        return recorded_name(f"{words.lower()}.py")
    return _NAMES.get(kind) or _key(kind.__module__.rpartition(".")[2])


def own_file(defense: object) -> Path | None:
    """The user's Python file in which a defense was found; None for ours, those of other packages
    and those of a running program."""
    module = sys.modules[type(defense).__module__]
    return Path(module.__file__ or "") if module.__name__.startswith(USERS) else None


def is_packaged(defense: object) -> bool:
    """Whether a defense is one of ours, or of an installed package that registers defenses."""
    packages = {
        point.module.partition(".")[0] for point in entry_points(group="crossfire.defenses")
    }
    return type(defense).__module__.partition(".")[0] in {"bench", "defenses", *packages}


USERS = "crossfire_user_"
"""The beginning of the names of modules that are users' files."""

_FOLDERS: list[str] = []
"""The folders of users' files, the newest first; `sys.path` ends with them."""


def load_file(path: Path) -> ModuleType:
    """Import a user's Python file, which was named on the command line.

    Raises:
        CrossfireError: there is no such file, running it fails, or it would get a module of
            PYTHONPATH in place of one beside itself.
    """
    if not path.is_file():
        raise CrossfireError(f"there is no file {path}; name a Python file that exists")
    # Files of the same name in two folders are two modules.
    place = sha256_bytes(os.fsencode(path.absolute()))[:8]
    spec = importlib.util.spec_from_file_location(f"{USERS}{path.stem}_{place}", path)
    assert spec is not None
    assert spec.loader is not None
    _look_beside(path)
    # Dataclasses and pickle look a class's module up by name.
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SystemExit as error:
        raise CrossfireError(
            f"{path} exits when it is imported; put the code that does so below: "
            "if __name__ == '__main__'"
        ) from error
    except Exception as error:
        raise CrossfireError(f"{path} does not run: {reason(error)}") from error
    _check_beside(path)
    return module


def _look_beside(path: Path) -> None:
    """Let a file import the modules beside it, as in `python FILE.py`, but at the end of the path,
    so that they shadow no library. They replace modules of the same names beside earlier files."""
    folder = str(path.parent.absolute())
    if folder in sys.path and folder not in _FOLDERS:
        return
    others = [other for other in _FOLDERS if other != folder]
    replaced = _namesakes(folder, others)
    for name in [name for name in sys.modules if name.partition(".")[0] in replaced]:
        del sys.modules[name]
    sys.path[:] = [place for place in sys.path if place not in _FOLDERS] + [folder, *others]
    _FOLDERS[:] = [folder, *others]


def _check_beside(path: Path) -> None:
    """Check that PYTHONPATH, which comes first, gave no module that also lies beside the file."""
    folder = str(path.parent.absolute())
    places = {os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p}
    for name in sorted(_namesakes(folder, places - {folder})):
        raise CrossfireError(
            f"{path} would not get the module {name} beside itself, but that of "
            f"{_folder(sys.modules[name])}; take that folder out of PYTHONPATH, or rename one"
        )


def _namesakes(folder: str, places: Collection[str]) -> set[str]:
    """The imported modules of `places` whose names have modules in `folder` too."""
    found = set()
    for name, module in list(sys.modules.items()):
        if "." not in name and _folder(module) in places:
            spec = PathFinder.find_spec(name, [folder])
            # A folder without __init__.py has no effect beside a module elsewhere.
            if spec and (spec.origin or not getattr(module, "__file__", None)):
                found.add(name)
    return found


def _folder(module: ModuleType) -> str:
    """The folder in which a module or a package was found; empty for one that is built in."""
    spec = getattr(module, "__spec__", None)
    places = (spec.submodule_search_locations or [spec.origin]) if spec else ()
    return os.path.dirname(next(iter(places), None) or "")


def _checked(found: Any, origin: str) -> type[Any]:  # noqa: ANN401
    if isinstance(found, ModuleType):
        found = getattr(found, "DEFENSE", None) or _only_dataclass(found, origin)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found) and hasattr(found, "fit")):
        raise CrossfireError(
            f"{origin} is not a defense; it must be a dataclass with a method `fit`"
        )
    return found


def _only_dataclass(module: ModuleType, origin: str) -> Any:  # noqa: ANN401
    found = [
        value
        for value in vars(module).values()
        if dataclasses.is_dataclass(value) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise CrossfireError(
            f"{origin} defines {len(found)} dataclasses; choose one with DEFENSE = Class"
        )
    return found[0]


def _ours(name: str, what: str) -> Entry:
    file = f"defenses/{name}.py"
    load = partial(import_module, f"defenses.{name}")
    return Entry(name, file, partial(_import, load, file, "correct it"), what)


def _plugin(point: EntryPoint) -> Entry:
    origin = _origin(point)
    subject = f"plugin '{point.name}' of {origin}"
    load = partial(_import, point.load, subject, "update or uninstall it")
    return Entry(point.name, origin, load, _about(point))


def _import(load: Callable[[], Any], subject: str, advice: str) -> Any:  # noqa: ANN401
    try:
        return load()
    except Exception as error:
        raise CrossfireError(f"{subject} does not import ({reason(error)}); {advice}") from error


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _about(point: EntryPoint) -> str:
    return str(point.dist.metadata.json.get("summary", "")) if point.dist else ""


def _key(name: str) -> str:
    return name.replace("_", "-")

"""Everything that can be named, by kind, and where it is defined; plugins are listed unloaded."""

from collections.abc import Mapping

from bench.data import SOURCES
from bench.errors import unknown
from bench.evaluation.suites import SUITES, suites
from bench.models import architectures
from bench.models.sources import SCHEMES
from bench.plugins.registry import KINDS, Entry, defenses, documented, plugins
from bench.threats import BUDGETS

Row = tuple[str, str, str]
"""Name, origin, and a short description."""


def rows(kind: str) -> list[Row]:
    """Everything of one kind of `bench.plugins.registry.KINDS`, built-in ones first.

    Raises:
        CrossfireError: there is no such kind.
    """
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if kind == "defenses":
        return _sorted(defenses())
    if kind == "suites":
        return [*_patterns(), *_sorted(suites())]
    return _BUILT_IN[kind]() + _sorted(plugins(kind))


def _patterns() -> list[Row]:
    return [
        ("FILE.py:NAME", "bench/attacks/external.py", "An attack of your own, alone."),
        ("l2l:RUN", "bench/attacks/learned.py", "The attack that a run of l2l learned, alone."),
        ("pgd-N", SUITES, "pgd-100 with N steps instead, each of epsilon / 4."),
    ]


def _attacks() -> list[Row]:
    families = documented("bench.attacks").items()
    parts = ("base", "external", "objectives")
    return [
        (name, f"bench/attacks/{name}.py", what) for name, what in families if name not in parts
    ]


def _datasets() -> list[Row]:
    return [(name, "bench/data", what) for name, what in SOURCES.items()]


def _budgets() -> list[Row]:
    return [
        (f"{dataset}/{name}", "bench/threats/budgets.py", ", ".join(map(str, threats)))
        for dataset, sets in BUDGETS.items()
        for name, threats in sets.items()
    ]


def _models() -> list[Row]:
    built_in = [(name, "bench/models", "architecture") for name in architectures()]
    schemes = [(f"{name}:NAME", "bench/models/sources", "model") for name in SCHEMES]
    return [*built_in, ("FILE.py:CALLABLE", "bench/models/sources", "model"), *schemes]


_BUILT_IN = {"attacks": _attacks, "datasets": _datasets, "budgets": _budgets, "models": _models}


def _sorted(entries: Mapping[str, Entry]) -> list[Row]:
    found = (entries[name] for name in sorted(entries))
    ranked = sorted(found, key=lambda entry: "/" not in entry.origin)
    return [(entry.name, entry.origin, entry.what) for entry in ranked]

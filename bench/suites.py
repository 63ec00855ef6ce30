"""Suites: named, ordered lists of attack runs with fixed settings.

A suite is a function of the threat's norm and the number of classes, because published ones are;
what it returned is written into the protocol, so that its hash names the settings and not only the
suite.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.attacks.base import Attack
from bench.attacks.pgd import PGD
from bench.registry import Entry, choose, plugins, summary
from bench.threats import Norm


@dataclass(frozen=True)
class Pass:
    """One attack over the examples that still stand: `targets` classes each (0: untargeted), then
    `restarts` again."""

    attack: Attack
    targets: int = 0
    restarts: int = 1
    repeats: int = 1
    """Answers of the model that are averaged at each step, for random models (EOT)."""


Suite = Callable[[Norm, int], tuple[Pass, ...]]
"""(norm, classes) -> passes, in order."""


def pgd_100(norm: Norm, classes: int) -> tuple[Pass, ...]:
    """PGD with 100 steps of epsilon / 4 from one random start on the cross-entropy, stopped at an
    exact cycle."""
    return (Pass(PGD(steps=100, until_cycle=True, name="pgd-100")),)


_OURS: dict[str, Suite] = {"pgd-100": pgd_100}


def suites() -> dict[str, Entry]:
    """Every suite by name: ours, those of installed packages (entry-point group
    `crossfire.suites`), and each of their attacks (`crossfire.attacks`) as a suite of its own."""
    ours = {
        name: Entry(name, "bench/suites.py", partial(_OURS.get, name), summary(suite.__doc__))
        for name, suite in _OURS.items()
    }
    alone = {n: replace(e, load=partial(_alone, e)) for n, e in plugins("attacks").items()}
    return alone | plugins("suites") | ours


def _alone(entry: Entry) -> Suite:
    """A suite of a plugin's attack and nothing else."""
    found = entry.load()
    attack = found() if isinstance(found, type) else found
    return lambda norm, classes: (Pass(attack),)


def get(name: str) -> Suite:
    """The suite of that name.

    Raises:
        CrossfireError: there is none; the message names the closest one.
    """
    suite: Suite = choose("suites", name, suites())
    return suite


def describe(passes: tuple[Pass, ...]) -> list[dict[str, Any]]:
    """Every setting of every pass as JSON values: what the protocol's hash is made of."""
    return [
        {
            "attack": _plain(vars(p.attack)),
            "targets": p.targets,
            "restarts": p.restarts,
            "repeats": p.repeats,
        }
        for p in passes
    ]


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "__name__", value) for name, value in settings.items()}

"""Suites: named, ordered lists of attack stages with fixed settings.

A suite is a function of the threat's norm and the number of classes, as published suites are. The
stages are part of the protocol, so that its hash covers every setting and not only the suite's
name.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.attacks.apgd import APGD
from bench.attacks.apgd_l1 import SparseAPGD
from bench.attacks.base import Attack
from bench.attacks.external import ExternalAttack, Run, as_attack, in_file
from bench.attacks.fab import FAB
from bench.attacks.learned import load_attacker
from bench.attacks.margin import MarginPGD
from bench.attacks.objectives import objective_for
from bench.attacks.pgd import PGD
from bench.attacks.reference import autoattack_reference
from bench.attacks.square import Square
from bench.errors import CrossfireError, reason, unknown
from bench.plugins import specs
from bench.plugins.registry import Entry, plugins, summary
from bench.threats import Norm

SUITES = "bench/evaluation/suites.py"
"""Where our suites are defined."""
CHECKS = "checks"
"""In `Stage.after`: the checks before the attacks."""


@dataclass(frozen=True)
class Stage:
    """One attack on the examples that are still robust, against `targets` classes each (0:
    untargeted, or against the class with the largest wrong logit), with `restarts` restarts per
    class."""

    attack: Attack | ExternalAttack
    targets: int = 0
    restarts: int = 1
    repeats: int = 1
    """Responses of the model that are averaged at each step, for random models (EOT)."""
    blur: float = 0.0
    """Half the width of the uniform noise around a point over which gradients are averaged, in
    pixel units: one of the `repeats` is the point itself."""
    repair: bool = False
    """Query the model as repaired by `bench.evaluation.repair`."""
    sample: int | None = None
    """Attack only so many of the robust examples, drawn by the seed."""
    alarm: float | None = None
    """Breaking more than this share of the attacked examples raises an alarm: the stages before
    were too weak."""
    after: tuple[str, ...] = ()
    """Run only after an alarm of one of these stages or, with `CHECKS` among them, after a finding
    of the checks before the attacks."""


Suite = Callable[[Norm, int], tuple[Stage, ...]]
"""(norm, classes) -> stages, in order."""
Own = Run | type[Attack] | Attack | ExternalAttack
"""An attack that stands for a suite of itself alone."""


def pgd(steps: int) -> Suite:
    """PGD with so many steps, all of epsilon / 4, whatever their number."""

    def suite(norm: Norm, classes: int) -> tuple[Stage, ...]:
        return (Stage(PGD(steps=steps, until_cycle=True, name=f"pgd-{steps}")),)

    suite.__doc__ = (
        f"PGD with {steps} steps of epsilon / 4 from one random start on the cross-entropy, "
        "stopped at an exact cycle."
    )
    return suite


def autoattack(norm: Norm, classes: int) -> tuple[Stage, ...]:
    """The standard version of AutoAttack (Croce & Hein 2020; for ℓ1 Croce & Hein 2021),
    complete."""
    untargeted, targets = (5, 5) if norm == "l1" else (1, 9)
    run = SparseAPGD if norm == "l1" else APGD
    return (
        Stage(run("ce", name="apgd-ce"), restarts=untargeted),
        Stage(run(objective_for(classes, targeted=True), name="apgd-t"), targets=targets),
        Stage(FAB(), targets=9),
        Stage(Square()),
    )


def part_of_autoattack(name: str) -> Suite:
    """The stage of that name of `autoattack`, on every correct example."""

    def suite(norm: Norm, classes: int) -> tuple[Stage, ...]:
        return tuple(stage for stage in autoattack(norm, classes) if stage.attack.name == name)

    suite.__doc__ = f"Stage {name} of autoattack, alone."
    return suite


def reference(norm: Norm, classes: int) -> tuple[Stage, ...]:
    """AutoAttack's standard version as its authors' package runs it; it depends on the batch."""
    return (Stage(ExternalAttack(autoattack_reference, "pyautoattack", bounded=False)),)


def autoattack_rand(norm: Norm, classes: int) -> tuple[Stage, ...]:
    """AutoAttack for random models: gradients are means over 20 responses (Athalye et al. 2018)."""
    run = SparseAPGD if norm == "l1" else APGD
    return (
        Stage(run("ce", name="apgd-ce"), repeats=20),
        Stage(run(objective_for(classes, targeted=False), name="apgd-dlr"), repeats=20),
    )


def crossfire(norm: Norm, classes: int) -> tuple[Stage, ...]:
    """Our own suite: margin ascent with early stopping, and alarms that start further stages.

    The first stage decides most examples at less than a hundredth of AutoAttack's cost. The second
    starts at a random point of a larger ball; in l1 sparse Auto-PGD follows. If that breaks any
    example (in l1 more than a twentieth of them), the second stage is repeated without early
    stopping, more often and against fewer classes. Square attack always attacks a few of the robust
    examples: it needs no gradients, so its success means that gradients are unreliable. After an
    alarm of the repeated stage or of Square attack, or after a finding of the checks before the
    attacks, the model is repaired and attacked by the first two stages again. If Square attack
    still breaks an example, averaged gradients and all of AutoAttack follow, the black box first:
    its attacks with gradients only if it broke many examples, and after untargeted Auto-PGD only if
    that broke another.
    """
    size = 8.0 if norm == "l1" else 3.0
    narrow = MarginPGD(slack=2.0)
    wide = MarginPGD(steps=40, slack=1.0, noise=1.0, wide=size, name="margin-wide")
    more = replace(wide, slack=0.0, name="margin-more")
    sparse = SparseAPGD("targeted-margin", steps=50, name="apgd-sparse")
    last = "apgd-sparse" if norm == "l1" else "margin-wide"
    unreliable = (CHECKS, "margin-more", "square-alarm")
    repair = Stage(narrow, targets=9, repair=True, after=unreliable)
    averaged = replace(repair, targets=3, repeats=8, blur=0.05, after=("square-check",))
    untargeted, targeted, fab, square = autoattack(norm, classes)
    return (
        Stage(narrow, targets=9),
        Stage(wide, targets=9, alarm=0.0),
        *((Stage(sparse, targets=3, alarm=0.05),) if norm == "l1" else ()),
        Stage(more, targets=3, restarts=4, alarm=0.05, after=(last,)),
        Stage(Square(queries=50, name="square-alarm"), sample=16, alarm=0.0),
        replace(repair, attack=replace(narrow, name="margin-repaired")),
        replace(repair, attack=replace(wide, name="margin-wide-repaired")),
        Stage(Square(queries=300, name="square-check"), sample=64, alarm=0.0, after=unreliable),
        replace(averaged, attack=replace(wide, name="margin-averaged")),
        replace(square, alarm=0.05, after=("square-check",)),
        replace(untargeted, alarm=0.0, after=("square",)),
        replace(targeted, after=("apgd-ce",)),
        replace(fab, after=("apgd-ce",)),
    )


_BUILT_IN: dict[str, Suite] = {
    "pgd-100": pgd(100),
    "crossfire": crossfire,
    "autoattack": autoattack,
    "autoattack-rand": autoattack_rand,
    "autoattack-reference": reference,
    **{name: part_of_autoattack(name) for name in ("apgd-ce", "apgd-t", "fab", "square")},
}
_PGD = re.compile(r"pgd-([1-9]\d*)")


def suites() -> dict[str, Entry]:
    """Every suite by name: built-in ones, those of installed packages (entry-point group
    `crossfire.suites`), and each of their attacks (`crossfire.attacks`) as a suite of its own."""
    built_in = {
        name: Entry(name, SUITES, partial(_BUILT_IN.get, name), summary(suite.__doc__))
        for name, suite in _BUILT_IN.items()
    }
    alone = {n: replace(e, load=partial(_alone, e)) for n, e in plugins("attacks").items()}
    return alone | plugins("suites") | built_in


def _alone(entry: Entry) -> Suite:
    """A suite of one attack from elsewhere; one that is targeted attacks a single class."""
    found = entry.load()
    return lambda norm, classes: (Stage(as_attack(found, entry.name, entry.origin)),)


def _stages(name: str, suite: Suite, norm: Norm, classes: int) -> tuple[Stage, ...]:
    try:
        return suite(norm, classes)
    except CrossfireError:
        raise
    except Exception as error:
        raise CrossfireError(
            f"suite '{name}' fails for {norm} and {classes} classes ({reason(error)}); "
            "choose another one, or correct its plugin"
        ) from error


def name_of(suite: str | Own) -> str:
    """The name of a suite in records: of an attack that is given itself its `__name__`.

    Raises:
        CrossfireError: it has no name, or that of a suite of ours.
    """
    if isinstance(suite, str):
        return suite
    name = getattr(suite, "__name__", None) or getattr(suite, "name", None)
    if not isinstance(name, str):
        raise CrossfireError(
            f"suite {suite!r} has no name; give that of a suite, or a function, or "
            "bench.attacks.external.ExternalAttack(function, NAME)"
        )
    if _ours(name) is not None:
        raise CrossfireError(f"the attack '{name}' is called like a suite of ours; rename it")
    return name


def get(suite: str | Own) -> Suite:
    """The suite of that name; for `FILE.py:NAME` that attack alone, for `l2l:CHECKPOINT` the attack
    that a run of `l2l` trained, and an attack that is given itself.

    Raises:
        CrossfireError: there is no such suite; the message names the closest one.
    """
    name = name_of(suite)
    if not isinstance(suite, str):
        return partial(_stages, name, _alone(Entry(name, "the argument suites", lambda: suite)))
    if name.startswith("l2l:"):
        attack = load_attacker(Path(name.removeprefix("l2l:")))
        return lambda norm, classes: (Stage(attack),)
    if spec := specs.parse(name):
        entry = Entry(name, str(spec.file), partial(in_file, spec))
        return partial(_stages, name, _alone(entry))
    if ours := _ours(name):
        return partial(_stages, name, ours)
    known = suites()
    if name not in known:
        raise unknown("suite", name, (*known, "pgd-20"))
    return partial(_stages, name, known[name].load())


def _ours(name: str) -> Suite | None:
    numbered = _PGD.fullmatch(name)
    return _BUILT_IN.get(name) or (pgd(int(numbered[1])) if numbered else None)

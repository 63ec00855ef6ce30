"""Which runs the study has: problems, ways to learn, numbers of queries."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .learning import Arm

PLAIN, AT = Arm("plain"), Arm("at", copies=True)
PASSIVE = Arm("data soft", "data", "soft")
PASSIVE_GRADIENTS = Arm("data gradients", "data", "gradients")
BALL = Arm("ball labels", "ball", "labels")
LABELS = Arm("adversarial labels", "adversarial", "labels")
SOFT = Arm("adversarial soft", "adversarial", "soft")
GRADIENTS = Arm("adversarial gradients", "adversarial", "gradients")
UNCERTAIN = Arm("uncertain labels", "uncertain", "labels")
ACTIVE = (LABELS, SOFT, GRADIENTS)
QUERYING = (BALL, *ACTIVE, UNCERTAIN)
TRIED = (
    Arm("at, half the radius", copies=True, reach=0.5),
    Arm("adversarial soft, four times as long", "adversarial", "soft", longer=4),
    Arm("adversarial soft, logits times 5", "adversarial", "soft", sharper=5.0),
)


def with_at(arm: Arm) -> Arm:
    """The same, with copied labels on adversarial examples of the data."""
    return replace(arm, name=f"at + {arm.name}", copies=True)


@dataclass(frozen=True)
class Problem:
    """A teacher with its data: n examples on a manifold in d dimensions, at least `gap` from the
    boundary."""

    name: str
    d: int
    manifold: int
    n: int
    gap: float

    def __str__(self) -> str:
        return f"{self.name}, {self.manifold} of {self.d} dimensions, n = {self.n}"


@dataclass(frozen=True)
class Run:
    """All seeds of one way to learn one problem with so many queries a student."""

    problem: Problem
    arm: Arm
    queries: int

    def key(self) -> tuple[str, int, int, int, float, str, int]:
        """What tells it from other runs."""
        p = self.problem
        return (p.name, p.d, p.manifold, p.n, p.gap, self.arm.name, self.queries)


WIDE, NEAR = 0.375, 0.05
"""The least distance of data from the boundary: beyond every ball, or well inside most."""

SPHERES = [
    Problem("spheres", 20, 2, 128, NEAR),
    Problem("spheres", 5, 2, 128, NEAR),
    Problem("spheres", 50, 2, 128, NEAR),
    Problem("spheres", 20, 2, 16, NEAR),
]
DISCS = [
    Problem("discs", 2, 1, 128, NEAR),
    Problem("discs", 2, 1, 16, NEAR),
    Problem("discs", 2, 2, 128, NEAR),
]
SILENT = [
    Problem("spheres", 20, manifold, n, WIDE)
    for manifold in (2, 5, 10, 20)
    for n in (32, 256, 2048)
]
COPYING = [Problem("spheres", d, 2, 128, WIDE) for d in (5, 20, 50)]
DIGITS, MORE_DIGITS = (Problem("digits", 64, 64, n, 0.0) for n in (256, 1024))
QUERIES, DIGITS_QUERIES = (16, 64, 256, 1024), (64, 256, 1024)


def runs(*, small: bool = False) -> list[Run]:
    """All runs, those on which most depends first; `small` keeps two problems and few queries."""
    if small:
        problems = [Problem("spheres", 5, 2, 16, NEAR), Problem("discs", 2, 1, 16, NEAR)]
        found = [run for p in problems for run in _curves(p, (16,))]
        return found + list(_digits(Problem("digits", 64, 64, 32, 0.0), (16,)))
    found = [run for p in (*SPHERES, *DISCS) for run in _curves(p, QUERIES)]
    found += [Run(p, PLAIN, 0) for p in SILENT]
    found += [Run(p, arm, 0) for p in COPYING for arm in (PLAIN, AT)]
    found += [Run(p, LABELS, 256) for p in COPYING]
    found += [Run(SPHERES[0], arm, 256 if arm.response == "soft" else 0) for arm in TRIED]
    found += _digits(DIGITS, DIGITS_QUERIES)
    found += [Run(MORE_DIGITS, arm, 0) for arm in (PLAIN, AT)]
    return found + [Run(MORE_DIGITS, with_at(arm), 1024) for arm in (PASSIVE, LABELS, SOFT)]


def _curves(problem: Problem, queries: tuple[int, ...]) -> Iterator[Run]:
    yield Run(problem, PLAIN, 0)
    yield Run(problem, AT, 0)
    yield Run(problem, PASSIVE, problem.n)
    yield Run(problem, PASSIVE_GRADIENTS, problem.n)
    for arm in QUERYING:
        yield from (Run(problem, arm, q) for q in queries)


def _digits(problem: Problem, queries: tuple[int, ...]) -> Iterator[Run]:
    yield Run(problem, PLAIN, 0)
    yield Run(problem, AT, 0)
    yield Run(problem, PASSIVE, problem.n)
    yield Run(problem, with_at(PASSIVE), problem.n)
    for arm in ACTIVE:
        yield from (Run(problem, arm, q) for q in queries)
        yield from (Run(problem, with_at(arm), q) for q in queries)

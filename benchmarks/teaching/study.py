"""The study: every run of the grid that has no row yet is done, and its row kept at once."""

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.errors import CrossfireError
from bench.files import write_atomic

from . import digits
from .balls import Ball
from .exact_students import Measured, measure
from .grid import Run, runs
from .learning import Cohort, Course, learn
from .students import Networks, Quadratics
from .teachers import Discs, Known, Sphere, Support, sample

KEY = ["problem", "d", "manifold", "n", "gap", "arm", "queries"]
FIELDS = [*KEY, "bits", "clean", "robust", "labelled", "undecided", "seconds"]
EPS = {"spheres": 0.3, "discs": 0.2}
TEACHERS: dict[str, Known] = {"spheres": Sphere(), "discs": Discs()}
Row = dict[str, str]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Effort:
    """How much is done: `seeds` students a run, steps of training, test points, the teacher."""

    seeds: int = 10
    steps: int = 300
    tests: int = 200
    digits_seeds: int = 5
    digits_steps: int = 400
    images: int = 60
    teacher_epochs: int = 60
    teacher_arch: str = "cnn-w64"
    teacher_examples: int | None = None


SMALL = Effort(2, 8, 20, 2, 8, 8, 1, "cnn-w8", 128)


def read(path: Path) -> list[Row]:
    """The rows of an earlier run, in their order; none where there is no file.

    Raises:
        CrossfireError: the file is not one of this study.
    """
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        rows = csv.DictReader(stream)
        if rows.fieldnames != FIELDS:
            raise CrossfireError(f"{path} is not of this study; choose another folder")
        return list(rows)


def write(path: Path, rows: Sequence[Row]) -> None:
    """Replace the file."""
    text = io.StringIO()
    table = csv.DictWriter(text, FIELDS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def study(path: Path, teachers: Path, progress: Progress, *, small: bool = False) -> list[Row]:
    """Do what is missing in the file `path`; the teacher of digits is kept in `teachers`.

    A kill at any instant loses the run in progress, and no other.

    Raises:
        CrossfireError: the file is not one of this study, or its runs have more or fewer students.
    """
    effort, wanted = SMALL if small else Effort(), runs(small=small)
    rows = {_key(row): row for row in read(path)}
    for row in rows.values():
        seeds = effort.digits_seeds if row["problem"] == "digits" else effort.seeds
        if (found := len(row["robust"].split())) != seeds:
            raise CrossfireError(
                f"{path} has runs of {found} students, not {seeds} (--small has fewer); "
                "choose another folder with --out"
            )
    missing = [run for run in wanted if _text(run) not in rows]
    for i, run in enumerate(missing):
        progress(len(wanted) - len(missing) + i, len(wanted), f"{run.problem}, {run.arm.name}")
        rows[_text(run)] = _row(run, effort, teachers)
        write(path, list(rows.values()))
    progress(len(wanted), len(wanted), "all runs")
    return [rows[_text(run)] for run in wanted]


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def _text(run: Run) -> tuple[str, ...]:
    return tuple(str(value) for value in run.key())


def _row(run: Run, effort: Effort, teachers: Path) -> Row:
    began = time.process_time()
    bits, found = (_digits if run.problem.name == "digits" else _exact)(run, effort, teachers)
    said = dict(zip(KEY, _text(run), strict=True))
    said |= {"bits": f"{bits:.0f}", "undecided": str(found.undecided)}
    said |= {"clean": _percents(found.clean), "robust": _percents(found.robust)}
    said |= {"labelled": "" if found.labelled is None else _percents(found.labelled)}
    return said | {"seconds": f"{time.process_time() - began:.1f}"}


def _percents(shares: torch.Tensor) -> str:
    return " ".join(f"{100 * share:.1f}" for share in shares.tolist())


def _exact(run: Run, effort: Effort, _: Path) -> tuple[float, Measured]:
    problem, seeds = run.problem, range(effort.seeds)
    teacher, eps = TEACHERS[problem.name], EPS[problem.name]
    support = Support(problem.d, problem.manifold, problem.gap)
    x, y = sample(teacher, seeds, problem.n, support, salt=3)
    spheres = problem.name == "spheres"
    students = Quadratics(seeds, problem.d) if spheres else Networks(seeds, (2, 32, 2))
    ball = Ball("l2", eps * run.arm.reach)
    course = Course(ball, effort.steps * run.arm.longer, lr=0.01)
    cohort = Cohort(students, teacher, x, y, run.arm, course, torch.Generator().manual_seed(0))
    bits = learn(cohort, run.queries)
    return bits, measure(students, teacher, seeds, support, eps=eps, tests=effort.tests)


def _digits(run: Run, effort: Effort, teachers: Path) -> tuple[float, Measured]:
    seeds = range(effort.digits_seeds)
    folder = teachers / f"{effort.teacher_arch}-{effort.teacher_epochs}"
    network = digits.trained(
        folder, effort.teacher_epochs, effort.teacher_arch, effort.teacher_examples
    )
    teacher = digits.Teacher(network)
    x, y = digits.images(seeds, run.problem.n)
    students = Networks(seeds, (digits.PIXELS, 128, 64, digits.CLASSES), centre=0.5)
    course = Course(digits.BALL, effort.digits_steps, lr=0.003)
    cohort = Cohort(students, teacher, x, y, run.arm, course, torch.Generator().manual_seed(0))
    bits = learn(cohort, run.queries)
    return bits, digits.measure(students, teacher, len(seeds), effort.images)

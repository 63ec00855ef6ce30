"""The study of the active teacher: how students learn, and that page, data and figures agree."""

import math
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.errors import CrossfireError
from benchmarks.teaching.answers import Response, answer_loss, price, query_teacher
from benchmarks.teaching.balls import Ball
from benchmarks.teaching.grid import runs
from benchmarks.teaching.learning import Arm, Cohort, Course, Place, learn
from benchmarks.teaching.shapes import Labels, Points
from benchmarks.teaching.students import Networks, Quadratics
from benchmarks.teaching.study import read, study, write
from benchmarks.teaching.summary import cheapest, mean
from benchmarks.teaching.tables import TABLES, pages, prices, renewed
from benchmarks.teaching.teachers import Sphere, Support, sample

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "explanation" / "active-teacher"
COURSE = Course(Ball("l2", 0.3), 40, lr=0.01)


def data() -> tuple[Points, Labels]:
    return sample(Sphere(), [0, 1], 24, Support(5, 2, 0.05), salt=0)


def trained_cohort(arm: Arm, course: Course = COURSE) -> Cohort:
    students = Quadratics([0, 1], 5, 8)
    return Cohort(students, Sphere(), *data(), arm, course, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("response", ["labels", "soft", "gradients"])
@pytest.mark.parametrize("place", ["ball", "adversarial", "uncertain"])
def test_queries_lie_within_the_ball_and_have_their_price(place: Place, response: Response) -> None:
    cohort = trained_cohort(Arm("one", place, response))
    bits = learn(cohort, 30)
    assert cohort.answers is not None
    assert cohort.queried == 30
    assert bits == 30 * price(response, 2, 5)
    distances = torch.cdist(cohort.answers.points, cohort.x).amin(-1)
    assert (distances <= 0.3 + 1e-4).all()


def test_a_passive_student_asks_about_its_data_once() -> None:
    cohort = trained_cohort(Arm("one", "data", "soft"))
    assert learn(cohort, 1000) == 24 * 32
    assert cohort.answers is not None
    assert torch.equal(cohort.answers.points, cohort.x)


def test_answers_have_their_price_in_bits() -> None:
    assert price("labels", 10, 64) == math.log2(10)
    assert price("soft", 2, 64) == 32
    assert price("gradients", 10, 64) == 32 * (9 + 64)


@pytest.mark.parametrize("response", ["soft", "gradients"])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(response: Response) -> None:
    twin = Networks([0, 1], (5, 16, 3))
    answers = query_teacher(twin, data()[0], response)
    answer_loss(twin, answers, response).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in twin.parameters()]
    assert max(float(g.abs().max()) for g in gradients if g is not None) < 1e-4


def test_students_do_not_learn_from_each_other() -> None:
    def first(count: int) -> Tensor:
        course = Course(Ball("l2", 0.3), 5, lr=0.01)
        students = Quadratics(range(count), 5, 8)
        x, y = sample(Sphere(), range(count), 24, Support(5, 2, 0.05), salt=0)
        generator = torch.Generator().manual_seed(0)
        learn(Cohort(students, Sphere(), x, y, Arm("plain"), course, generator), 0)
        return students.weight[0].detach()

    assert torch.allclose(first(1), first(3), atol=1e-6)


def test_the_price_of_a_goal_counts_only_where_it_is_kept() -> None:
    rows = [{"queries": q, "robust": r} for q, r in [("16", "95 95"), ("64", "80 82")]]
    assert cheapest(rows) is None
    more = [*rows, {"queries": "256", "robust": "91 92"}, {"queries": "1024", "robust": "95 99"}]
    found = cheapest(more)
    assert found is not None
    assert found["queries"] == "256"
    assert str(mean("90 90 90")) == "90.0 ± 0.0"


@pytest.mark.timeout(600)  # seconds where nothing else runs
def test_the_command_writes_data_figures_and_tables_and_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, teachers = tmp_path / "study", tmp_path / "teachers"
    arguments = ["--out", str(out), "--small", "--teachers", str(teachers)]
    monkeypatch.setattr(sys, "argv", ["active_teacher.py", *arguments])
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    runpy.run_path(str(ROOT / "benchmarks" / "active_teacher.py"), run_name="__main__")
    figures = {"spheres.svg", "discs.svg", "digits.svg"}
    assert {path.name for path in out.iterdir()} == {"runs.csv", *figures}
    page = out.with_suffix(".md").read_text()
    assert "| adversarial soft |" in page
    assert renewed(read(out / "runs.csv"), page) == page

    whole, cut = untimed(out / "runs.csv"), tmp_path / "cut.csv"
    write(cut, whole[:-3])

    def stopped(done: int, total: int, text: str) -> None:
        if done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(cut, teachers, stopped, small=True)
    assert untimed(cut) == whole[:-1]
    study(cut, teachers, lambda *_: None, small=True)
    assert untimed(cut) == whole


def untimed(path: Path) -> list[dict[str, str]]:
    return [row | {"seconds": ""} for row in read(path)]


def test_another_file_in_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CrossfireError, match="choose another folder"):
        read(tmp_path / "runs.csv")


@pytest.mark.parametrize("small", [True, False])
def test_small_runs_and_whole_ones_do_not_share_a_file(tmp_path: Path, *, small: bool) -> None:
    def begun(done: int, total: int, text: str) -> None:
        pytest.fail("a run began")

    row, path = read(FOLDER / "runs.csv")[0], tmp_path / "runs.csv"
    write(path, [row if small else row | {"robust": "50.0 60.0"}])
    with pytest.raises(CrossfireError, match="choose another folder with --out"):
        study(path, tmp_path, begun, small=small)


def test_the_tables_of_the_pages_are_those_of_the_data() -> None:
    texts = [page.read_text() for page in pages(FOLDER)]
    assert [text for text in texts if renewed(read(FOLDER / "runs.csv"), text) != text] == []
    assert [name for name in TABLES if f"<!-- begin {name} -->" not in "".join(texts)] == []


def test_prices_show_a_change_that_asks_nothing_and_are_empty_where_it_was_not_tried() -> None:
    (line,) = [row for row in prices(read(FOLDER / "runs.csv")).splitlines() if "half" in row]
    assert line == "| at, half the radius |  | 0 / 0 |  |  |  |  |  |"


def test_every_run_of_the_grid_is_in_the_data_and_every_exact_one_is_decided() -> None:
    rows = read(FOLDER / "runs.csv")
    assert len(rows) == len(runs())
    assert {row["undecided"] for row in rows} == {"0"}
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 300_000

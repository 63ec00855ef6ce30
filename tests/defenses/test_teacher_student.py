"""Distillation: each loss against its paper's formula, each teacher asked no more than needed."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.models.checkpoint import load
from bench.training import Batch, Job, Net, adversarial
from defenses._active import active, least_certain, slope
from defenses._lessons import LOSSES, Lesson
from defenses.at import AT
from defenses.teacher_student import TeacherStudent, agreement
from tests.small import LINF, first_batch, sha256, small_job


class Scene:
    """A student, two teachers, a batch, and what each says."""

    def __init__(self, tmp_path: Path, **options: Any) -> None:  # noqa: ANN401
        self.job = small_job(tmp_path)
        self.batch: Batch = first_batch(self.job)
        self.f, self.t, self.n = (self.job.model(role) for role in ("net", "teacher", "natural"))
        for net in (self.t, self.n):
            net.eval().requires_grad_(False)
        self.defense = TeacherStudent(**options)
        self.x, self.y = self.batch.x, self.batch.y
        self.x_adv = adversarial(self.f, self.batch, LINF, steps=2)

    def lesson(self, *, trusting: bool = False) -> Lesson:
        terms = self.defense.terms(trusting)
        return Lesson(self.f, self.t, self.n, self.batch, terms, self.x_adv)

    def loss(self, *, trusting: bool = False) -> Tensor:
        return (LOSSES | {"active": active})[self.defense.variant](self.lesson(trusting=trusting))


def kl(p: Tensor, q: Tensor, t: float = 1.0) -> Tensor:
    return F.kl_div((q / t).log_softmax(1), (p / t).softmax(1), reduction="none").sum(1)


def ce(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y, reduction="none")


def test_ard(tmp_path: Path) -> None:
    scene = Scene(tmp_path, variant="ard", alpha=0.7, temperature=4.0)
    f, t, x, x_adv, y = scene.f, scene.t, scene.x, scene.x_adv, scene.y
    expected = 0.7 * 16 * kl(t(x), f(x_adv), 4.0) + 0.3 * ce(f(x), y)
    assert torch.allclose(scene.loss(), expected, atol=1e-5)
    assert TeacherStudent("ard").terms().temperature == 30


def test_rslad(tmp_path: Path) -> None:
    scene = Scene(tmp_path, variant="rslad")
    f, t, x, x_adv = scene.f, scene.t, scene.x, scene.x_adv
    expected = 5 / 6 * kl(t(x), f(x_adv)) + 1 / 6 * kl(t(x), f(x))
    assert torch.allclose(scene.loss(), expected, atol=1e-6)


@pytest.mark.parametrize("trusting", [True, False])
def test_iad1(tmp_path: Path, *, trusting: bool) -> None:
    scene = Scene(tmp_path, variant="iad1", alpha=0.8)
    f, t, x, x_adv, y = scene.f, scene.t, scene.x, scene.x_adv, scene.y
    expected = 0.8 * kl(t(x), f(x_adv)) + 0.2 * ce(f(x), y)
    if not trusting:
        trust = t(x_adv).softmax(1)[range(32), y] ** 0.1
        expected = expected + 0.8 * (1 - trust) * kl(f(x), f(x_adv))
    assert torch.allclose(scene.loss(trusting=trusting), expected, atol=1e-6)


@pytest.mark.parametrize("trusting", [True, False])
def test_iad2(tmp_path: Path, *, trusting: bool) -> None:
    scene = Scene(tmp_path, variant="iad2", temperature=2.0)
    f, t, n, x, x_adv, y = scene.f, scene.t, scene.n, scene.x, scene.x_adv, scene.y
    trust = 1.0 if trusting else t(x_adv).softmax(1)[range(32), y] ** 0.1
    taught = trust * kl(t(x_adv), f(x_adv), 2.0) + (1 - trust) * kl(f(x), f(x_adv), 2.0)
    expected = 0.5 * 4 * taught + 0.25 * 4 * kl(n(x_adv), f(x_adv), 2.0) + 0.25 * ce(f(x_adv), y)
    assert torch.allclose(scene.loss(trusting=trusting), expected, atol=1e-6)


def test_adaad(tmp_path: Path) -> None:
    scene = Scene(tmp_path, variant="adaad", alpha=0.6)
    f, t, x, x_adv = scene.f, scene.t, scene.x, scene.x_adv
    expected = 0.6 * kl(t(x_adv), f(x_adv)) + 0.4 * kl(t(x), f(x))
    assert torch.allclose(scene.loss(), expected, atol=1e-6)


def test_divergences_may_be_means_over_classes(tmp_path: Path) -> None:
    plain, mean = Scene(tmp_path, variant="rslad"), Scene(tmp_path, variant="rslad", mean=True)
    assert torch.allclose(mean.loss() * 10, plain.loss())


def test_adaad_examples_raise_the_disagreement(tmp_path: Path) -> None:
    scene = Scene(tmp_path, variant="adaad")
    lesson = scene.lesson()
    x_adv = scene.defense.perturb(lesson, LINF)
    other = (scene.x + LINF.eps * (scene.batch.uniform("a") - 0.5).sign()).clamp(0, 1)

    def apart(x: Tensor) -> float:
        return kl(scene.t(x), scene.f(x)).mean().item()

    assert apart(x_adv) > apart(other)


@pytest.mark.parametrize("ask", ["labels", "soft", "gradients"])
def test_an_active_student_that_asks_nothing_is_at_bit_for_bit(ask: Any, tmp_path: Path) -> None:  # noqa: ANN401
    AT(steps=2).fit(small_job(tmp_path / "at"))
    student = TeacherStudent("active", queries=0.0, ask=ask, steps=2)
    student.fit(small_job(tmp_path / "student"))
    assert sha256(tmp_path / "at") == sha256(tmp_path / "student")


def test_active_asks_where_the_student_is_least_certain() -> None:
    logits = torch.tensor([[9.0, 0, 0], [1.0, 0.9, 0], [3.0, 0, 0], [2.0, 1.9, 1.8]])
    assert least_certain(logits, 0.5).tolist() == [1, 3]
    assert least_certain(logits, 0.0).tolist() == []
    assert least_certain(logits, 1.0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("ask", "bits"),
    [("labels", 16 * math.log2(10)), ("soft", 16 * 320), ("gradients", 16 * (320 + 64 * 32))],
)
def test_active_replaces_copied_labels_and_counts_bits(
    ask: Any,  # noqa: ANN401
    bits: float,
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, variant="active", ask=ask, slope=2.0)
    f, t, x_adv, y = scene.f, scene.t, scene.x_adv, scene.y
    chosen = least_certain(f(x_adv), 0.5)
    answers = {
        "labels": ce(f(x_adv), t(x_adv).argmax(1)),
        "soft": kl(t(x_adv), f(x_adv)),
    }
    gap = slope(f, x_adv, y, create_graph=False)[1] - slope(t, x_adv, y, create_graph=False)[1]
    answers["gradients"] = answers["soft"] + 2.0 * gap.square().flatten(1).sum(1)
    expected = ce(f(x_adv), y)
    expected[chosen] = answers[ask][chosen]
    lesson = scene.lesson()
    assert torch.allclose(active(lesson), expected, atol=1e-5)
    assert lesson.bits == pytest.approx(bits)


@pytest.mark.parametrize(
    ("variant", "asked"),
    [
        # Examples of 32: at x for ard and rslad; at x' too where the loss needs it.
        *[("ard", 1), ("rslad", 1), ("iad1", 2), ("iad2", 1), ("adaad", 2 + 1), ("active", 0.5)],
    ],
)
def test_teachers_are_asked_no_more_than_the_loss_needs(
    variant: Any,  # noqa: ANN401
    asked: float,
    tmp_path: Path,
) -> None:
    job = small_job(tmp_path / "run", examples=32, epochs=1)
    TeacherStudent(variant, steps=2, begin=0.0).fit(job)
    assert job.passes.forwards["teacher"] == asked * 32


def test_the_log_says_what_the_teacher_gave(tmp_path: Path) -> None:
    job = small_job(tmp_path / "run", epochs=1)
    TeacherStudent(steps=1).fit(job)
    header, row = (job.out / "log.csv").read_text().splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert found["teacher forwards"] == "64"
    assert float(found["teacher_bits"]) == 64 * 10 * 32


def test_the_checkpoint_says_how_often_it_agrees_with_its_teacher(tmp_path: Path) -> None:
    job = small_job(tmp_path / "run", epochs=1)
    TeacherStudent(steps=1, teacher="").fit(job)
    student, found = load(job.out)
    teacher, _ = load(next((tmp_path / "teachers").iterdir()))
    x = job.data.heldout.floats()
    agreed = (student(x).argmax(1) == teacher(x).argmax(1)).float().mean().item()
    assert found.heldout["agreement clean"] == pytest.approx(agreed)
    assert 0 <= found.heldout["agreement linf:0.1"] <= 1


def test_a_student_agrees_with_itself(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    images = {"clean": scene.x, "linf:0.1": scene.x_adv}
    found = agreement(scene.f, scene.f, scene.y, images)
    assert found == {"agreement clean": 1.0, "agreement linf:0.1": 1.0}


@pytest.mark.parametrize(("variant", "epochs"), [("iad1", 3), ("iad2", 2)])
def test_teachers_are_trusted_as_long_as_in_the_paper(
    variant: Any,  # noqa: ANN401
    epochs: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trusted: list[bool] = []
    terms = TeacherStudent.terms

    def noted(self: TeacherStudent, trusting: bool = False) -> Any:  # noqa: ANN401
        trusted.append(trusting)
        return terms(self, trusting)

    monkeypatch.setattr(TeacherStudent, "terms", noted)
    AT(steps=1).fit(small_job(tmp_path / "at", epochs=1))
    teacher = str(tmp_path / "at")
    job = small_job(tmp_path / "run", epochs=10, examples=32)
    TeacherStudent(variant, steps=1, teacher=teacher, natural_teacher=teacher).fit(job)
    assert trusted == [True] * epochs + [False] * (10 - epochs)


def test_a_teacher_is_trained_once_and_found_again(tmp_path: Path) -> None:
    first, second = (small_job(tmp_path / name, epochs=1) for name in ("a", "b"))
    TeacherStudent(steps=1).fit(first)
    (path,) = (tmp_path / "teachers").glob("at-*/best.safetensors")
    written = path.stat().st_mtime_ns
    TeacherStudent("ard", steps=1).fit(second)
    assert path.stat().st_mtime_ns == written
    assert load(path)[1].defense == "at"


def test_a_teacher_may_be_named(tmp_path: Path) -> None:
    AT(steps=1).fit(small_job(tmp_path / "named", epochs=1))
    job = small_job(tmp_path / "run", epochs=1)
    TeacherStudent(teacher=str(tmp_path / "named"), steps=1).fit(job)
    assert not (tmp_path / "teachers").exists()


def test_the_teacher_stays_as_it_was(tmp_path: Path) -> None:
    def weights(job: Job) -> list[Tensor]:
        net: Net = job.model("teacher")
        return [p.detach().clone() for p in net.parameters()]

    scene = Scene(tmp_path, variant="adaad")
    before = weights(scene.job)
    scene.loss().mean().backward()
    assert all(p.grad is None for p in scene.t.parameters())
    assert all(map(torch.equal, before, scene.t.parameters()))
    assert not scene.t.training

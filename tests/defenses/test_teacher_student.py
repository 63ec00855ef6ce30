"""Distillation: each loss against its paper's formula, and the number of queries of a teacher."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import CrossfireError
from bench.models.checkpoint import load
from bench.training import Batch, Job, Net, adversarial, logits_and_gradient
from defenses._active import active, least_certain
from defenses._distillation import DistillationStep
from defenses.at import AT
from defenses.teacher_student import LOSSES, TeacherStudent, agreement
from tests.small import LINF, first_batch, sha256, small_job


class Setup:
    """A student, two teachers, a batch and its adversarial examples."""

    def __init__(self, tmp_path: Path, **options: Any) -> None:  # noqa: ANN401
        self.job = small_job(tmp_path)
        self.batch: Batch = first_batch(self.job)
        self.f, self.t, self.n = (self.job.model(role) for role in ("net", "teacher", "natural"))
        for net in (self.t, self.n):
            net.eval().requires_grad_(False)
        self.defense = TeacherStudent(**options)
        self.x, self.y = self.batch.x, self.batch.y
        self.x_adv = adversarial(self.f, self.batch, LINF, steps=2)

    def step(self, *, trusting: bool = False) -> DistillationStep:
        terms = self.defense.terms(trusting)
        return DistillationStep(self.f, self.t, self.n, self.batch, terms, self.x_adv)

    def loss(self, *, trusting: bool = False) -> Tensor:
        return LOSSES[self.defense.variant](self.step(trusting=trusting))


def kl(p: Tensor, q: Tensor, t: float = 1.0) -> Tensor:
    return F.kl_div((q / t).log_softmax(1), (p / t).softmax(1), reduction="none").sum(1)


def ce(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y, reduction="none")


def test_ard(tmp_path: Path) -> None:
    setup = Setup(tmp_path, variant="ard", alpha=0.7, temperature=4.0)
    f, t, x, x_adv, y = setup.f, setup.t, setup.x, setup.x_adv, setup.y
    expected = 0.7 * 16 * kl(t(x), f(x_adv), 4.0) + 0.3 * ce(f(x), y)
    assert torch.allclose(setup.loss(), expected, atol=1e-5)
    assert TeacherStudent("ard").terms().temperature == 30


def test_rslad(tmp_path: Path) -> None:
    setup = Setup(tmp_path, variant="rslad")
    f, t, x, x_adv = setup.f, setup.t, setup.x, setup.x_adv
    expected = 5 / 6 * kl(t(x), f(x_adv)) + 1 / 6 * kl(t(x), f(x))
    assert torch.allclose(setup.loss(), expected, atol=1e-6)


@pytest.mark.parametrize("trusting", [True, False])
def test_iad1(tmp_path: Path, *, trusting: bool) -> None:
    setup = Setup(tmp_path, variant="iad1", alpha=0.8)
    f, t, x, x_adv, y = setup.f, setup.t, setup.x, setup.x_adv, setup.y
    expected = 0.8 * kl(t(x), f(x_adv)) + 0.2 * ce(f(x), y)
    if not trusting:
        trust = t(x_adv).softmax(1)[range(32), y] ** 0.1
        expected = expected + 0.8 * (1 - trust) * kl(f(x), f(x_adv))
    assert torch.allclose(setup.loss(trusting=trusting), expected, atol=1e-6)


@pytest.mark.parametrize("trusting", [True, False])
def test_iad2(tmp_path: Path, *, trusting: bool) -> None:
    setup = Setup(tmp_path, variant="iad2", temperature=2.0)
    f, t, n, x, x_adv, y = setup.f, setup.t, setup.n, setup.x, setup.x_adv, setup.y
    trust = 1.0 if trusting else t(x_adv).softmax(1)[range(32), y] ** 0.1
    distilled = trust * kl(t(x_adv), f(x_adv), 2.0) + (1 - trust) * kl(f(x), f(x_adv))
    expected = 0.5 * 4 * distilled + 0.25 * 4 * kl(n(x_adv), f(x_adv), 2.0) + 0.25 * ce(f(x_adv), y)
    assert torch.allclose(setup.loss(trusting=trusting), expected, atol=1e-6)


def test_adaad(tmp_path: Path) -> None:
    setup = Setup(tmp_path, variant="adaad", alpha=0.6)
    f, t, x, x_adv = setup.f, setup.t, setup.x, setup.x_adv
    expected = 0.6 * kl(t(x_adv), f(x_adv)) + 0.4 * kl(t(x), f(x))
    assert torch.allclose(setup.loss(), expected, atol=1e-6)


@pytest.mark.parametrize("variant", ["rslad", "iad1"])
def test_divergences_may_be_means_over_classes(variant: Any, tmp_path: Path) -> None:  # noqa: ANN401
    plain, mean = Setup(tmp_path, variant=variant), Setup(tmp_path, variant=variant, mean=True)
    assert torch.allclose(mean.loss() * 10, plain.loss())


def test_examples_of_adaad_raise_the_divergence(tmp_path: Path) -> None:
    setup = Setup(tmp_path, variant="adaad")
    step = setup.step()
    x_adv = setup.defense.perturb(step, LINF)
    other = (setup.x + LINF.eps * (setup.batch.uniform("a") - 0.5).sign()).clamp(0, 1)

    def divergence(x: Tensor) -> float:
        return kl(setup.t(x), setup.f(x)).mean().item()

    assert divergence(x_adv) > divergence(other)


@pytest.mark.parametrize("response", ["labels", "soft", "gradients"])
def test_active_without_queries_is_at_bit_for_bit(response: Any, tmp_path: Path) -> None:  # noqa: ANN401
    AT(steps=2).fit(small_job(tmp_path / "at"))
    student = TeacherStudent("active", queries=0.0, response=response, steps=2)
    student.fit(small_job(tmp_path / "student"))
    assert sha256(tmp_path / "at") == sha256(tmp_path / "student")


def test_queries_are_at_the_examples_with_the_smallest_margin() -> None:
    logits = torch.tensor([[9.0, 0, 0], [1.0, 0.9, 0], [3.0, 0, 0], [2.0, 1.9, 1.8]])
    assert least_certain(logits, 0.5).tolist() == [1, 3]
    assert least_certain(logits, 0.0).tolist() == []
    assert least_certain(logits, 1.0).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("response", "bits"),
    [("labels", 16 * math.log2(10)), ("soft", 16 * 320), ("gradients", 16 * (320 + 64 * 32))],
)
def test_responses_replace_the_labels_at_queries_and_bits_are_counted(
    response: Any,  # noqa: ANN401
    bits: float,
    tmp_path: Path,
) -> None:
    setup = Setup(tmp_path, variant="active", response=response, slope=2.0)
    f, t, x_adv, y = setup.f, setup.t, setup.x_adv, setup.y
    chosen = least_certain(f(x_adv), 0.5)
    losses = {
        "labels": ce(f(x_adv), t(x_adv).argmax(1)),
        "soft": kl(t(x_adv), f(x_adv)),
    }
    gap = (
        logits_and_gradient(f, x_adv, y, create_graph=False)[1]
        - logits_and_gradient(t, x_adv, y, create_graph=False)[1]
    )
    losses["gradients"] = losses["soft"] + 2.0 * gap.square().flatten(1).sum(1)
    expected = ce(f(x_adv), y)
    expected[chosen] = losses[response][chosen]
    step = setup.step()
    assert torch.allclose(active(step), expected, atol=1e-5)
    assert step.bits == pytest.approx(bits)


def test_a_student_that_is_its_teacher_has_no_error_of_slope(tmp_path: Path) -> None:
    job = small_job(tmp_path, arch="preactresnet10-w2")
    batch, teacher = first_batch(job), job.model().eval().requires_grad_(False)

    def loss(slope: float) -> Tensor:
        student = job.model()
        norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 0.0  # so it stays its teacher after the pass in train mode
        terms = TeacherStudent("active", response="gradients", slope=slope).terms()
        found = active(DistillationStep(student, teacher, None, batch, terms, batch.x))
        assert {int(norm.num_batches_tracked) for norm in norms} == {1}
        return found

    assert torch.allclose(loss(slope=1.0), loss(slope=0.0))


@pytest.mark.parametrize(
    ("variant", "queries"),
    [
        # Queries per example: at x for ard and rslad; at x' too where the loss needs it.
        *[("ard", 1), ("rslad", 1), ("iad1", 2), ("iad2", 1), ("adaad", 2 + 1), ("active", 0.5)],
    ],
)
def test_teachers_are_queried_no_more_than_the_loss_needs(
    variant: Any,  # noqa: ANN401
    queries: float,
    tmp_path: Path,
) -> None:
    job = small_job(tmp_path / "run", examples=32, epochs=1)
    TeacherStudent(variant, steps=2, begin=0.0).fit(job)
    assert job.passes.forwards["teacher"] == queries * 32


def test_the_log_counts_queries_and_bits(tmp_path: Path) -> None:
    job = small_job(tmp_path / "run", epochs=1)
    TeacherStudent(steps=1).fit(job)
    header, row = (job.out / "log.csv").read_text().splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert found["teacher forwards"] == "64"
    assert float(found["teacher_bits"]) == 64 * 10 * 32


def test_bits_of_adaad_count_its_attack(tmp_path: Path) -> None:
    setup = Setup(tmp_path, variant="adaad", steps=3)
    step = setup.step()
    setup.defense.perturb(step, LINF)
    assert step.bits == 3 * 32 * (10 + 64) * 32


def test_the_checkpoint_holds_the_agreement_with_the_teacher(tmp_path: Path) -> None:
    job = small_job(tmp_path / "run", epochs=1)
    TeacherStudent(steps=1, teacher="").fit(job)
    student, found = load(job.out)
    teacher, _ = load(next((tmp_path / "teachers").iterdir()))
    x = job.data.heldout.floats()
    agreed = (student(x).argmax(1) == teacher(x).argmax(1)).float().mean().item()
    assert found.heldout["agreement clean"] == pytest.approx(agreed)
    assert 0 <= found.heldout["agreement linf:0.1"] <= 1


def test_a_student_agrees_with_itself(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    images = {"clean": setup.x, "linf:0.1": setup.x_adv}
    found = agreement(setup.f, setup.f, setup.y, images)
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

    def recorded(self: TeacherStudent, trusting: bool = False) -> Any:  # noqa: ANN401
        trusted.append(trusting)
        return terms(self, trusting)

    monkeypatch.setattr(TeacherStudent, "terms", recorded)
    AT(steps=1).fit(small_job(tmp_path / "at", epochs=1))
    teacher = str(tmp_path / "at")
    job = small_job(tmp_path / "run", epochs=10, examples=32)
    natural = teacher if variant == "iad2" else ""
    TeacherStudent(variant, steps=1, teacher=teacher, natural_teacher=natural).fit(job)
    assert trusted == [True] * epochs + [False] * (10 - epochs)


def test_a_teacher_is_trained_once_and_reused(tmp_path: Path) -> None:
    first, second = (small_job(tmp_path / name, epochs=1) for name in ("a", "b"))
    TeacherStudent(steps=1).fit(first)
    (path,) = (tmp_path / "teachers").glob("at-*/best.safetensors")
    written = path.stat().st_mtime_ns
    TeacherStudent("ard", steps=1).fit(second)
    assert path.stat().st_mtime_ns == written
    assert load(path)[1].defense == "at"


def test_without_resuming_the_teacher_is_trained_again_too(tmp_path: Path) -> None:
    TeacherStudent(steps=1).fit(small_job(tmp_path / "run", epochs=1))
    (path,) = (tmp_path / "teachers").glob("at-*/best.safetensors")
    written, said = path.stat().st_mtime_ns, list[str]()
    job = small_job(tmp_path / "run", epochs=1, resume=False, notify=said.append)
    TeacherStudent(steps=1).fit(job)
    assert path.stat().st_mtime_ns > written
    assert said == []


def test_an_option_of_another_variant_is_refused_before_a_teacher_is_trained(
    tmp_path: Path,
) -> None:
    with pytest.raises(CrossfireError, match="gamma is for variant iad2"):
        TeacherStudent("rslad", gamma=0.5).fit(small_job(tmp_path / "run", epochs=1))
    assert not list(tmp_path.iterdir())


def test_a_named_teacher_is_used(tmp_path: Path) -> None:
    AT(steps=1).fit(small_job(tmp_path / "named", epochs=1))
    job = small_job(tmp_path / "run", epochs=1)
    TeacherStudent(teacher=str(tmp_path / "named"), steps=1).fit(job)
    assert not (tmp_path / "teachers").exists()


def test_the_teacher_is_not_changed(tmp_path: Path) -> None:
    def weights(job: Job) -> list[Tensor]:
        net: Net = job.model("teacher")
        return [p.detach().clone() for p in net.parameters()]

    setup = Setup(tmp_path, variant="adaad")
    before = weights(setup.job)
    setup.loss().mean().backward()
    assert all(p.grad is None for p in setup.t.parameters())
    assert all(map(torch.equal, before, setup.t.parameters()))
    assert not setup.t.training

"""L2L: the attacker's input, the order of updates, and the cost of a batch."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from bench.models.attackers import STRIDE, perturbation
from bench.models.checkpoint import load, read
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from bench.training import Net
from defenses.l2l import L2L, Variant, attacker_input
from tests.small import L1, L2, LINF, first_batch, small_job

SMALL = {"attacker": "two-layer", "width": 4}


def test_the_attackers_input_is_the_image_and_gradients_of_at_most_one(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    x = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(net(x), batch.y), x)
    seen = attacker_input(net, batch.x, batch.y)
    assert torch.equal(seen[:, :1], batch.x)
    assert torch.allclose(seen[:, 1:], gradient / gradient.abs().max(), atol=1e-6)
    assert not seen.requires_grad


@pytest.mark.parametrize(
    ("variant", "passes"),
    [("naive", 2), ("grad", 4), ("two-step", 6), ("multi-step", 2 + 2 * 3)],
)
def test_a_batch_costs_as_many_classifier_passes_as_published(
    variant: Variant, passes: int, tmp_path: Path
) -> None:
    job = small_job(tmp_path, epochs=1, examples=32)
    L2L(variant=variant, steps=3 if variant == "multi-step" else 7, **SMALL).fit(job)
    assert job.passes.forwards["net"] == job.passes.backwards["net"] == 32 * passes


@pytest.mark.parametrize("variant", ["naive", "grad", "two-step", "multi-step"])
@pytest.mark.parametrize("threat", [LINF, L2, L1], ids=str)
def test_its_examples_are_within_ball_and_box_and_reach_the_attacker(
    variant: Variant, threat: Threat, tmp_path: Path
) -> None:
    job = small_job(tmp_path)
    defense = L2L(variant=variant, steps=2, **SMALL)
    net, attacker, batch = job.model(), defense.build(job), first_batch(job)
    x_adv = defense.perturb(attacker, net, batch.x, batch.y, threat)
    size = GEOMETRY[threat.norm].distance(x_adv - batch.x)
    assert (size <= threat.eps * (1 + 1e-4)).all()
    assert 0 <= x_adv.min() <= x_adv.max() <= 1
    gradients = torch.autograd.grad(x_adv.sum(), list(attacker.parameters()), allow_unused=True)
    assert any(gradient is not None and gradient.any() for gradient in gradients)


def test_gradients_may_be_divided_by_the_largest_of_each_example(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    by_batch, by_example = (
        attacker_input(net, batch.x, batch.y, per)[:, 1:].abs().amax((1, 2, 3))
        for per in ("batch", "example")
    )
    assert torch.allclose(by_example, torch.ones(32))
    assert by_batch.max() == 1
    assert (by_batch < 1).sum() == 31


def test_the_attacker_is_a_quarter_as_wide_as_the_papers_unless_told(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    assert L2L().build(job).arch == "l2l:grad/wide/16"
    assert L2L(width=64).build(job).arch == "l2l:grad/wide/64"
    assert L2L.recipes["paper"]["width"] == 64


def test_the_attacker_may_be_updated_more_often(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1, examples=32)
    L2L(attacker_steps=3, **SMALL).fit(job)
    # A gradient for the classifier's step and one for all of the attacker's; each has its loss.
    assert job.passes.forwards["net"] == job.passes.backwards["net"] == 32 * (2 + 1 + 3)


def test_an_attacker_that_is_pgd_has_a_relative_loss_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small_job(tmp_path)
    net, batch, defense = job.model().eval(), first_batch(job), L2L(**SMALL)
    x_adv = (batch.x + 0.1 * batch.uniform("noise")).clamp(0, 1)
    monkeypatch.setattr(L2L, "perturb", lambda *_: x_adv)
    images = {"clean": batch.x, str(LINF): x_adv}
    found = defense.measure(defense.build(job), LINF, net, batch.y, images)
    right = (net(x_adv).argmax(1) == batch.y).float().mean().item()
    assert found == pytest.approx({"attacker": right, "attacker_loss": 1.0})


def test_the_log_and_the_checkpoint_hold_the_strength_of_the_attacker(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1)
    L2L(**SMALL).fit(job)
    assert {"attacker", "attacker_loss"} <= load(tmp_path)[1].heldout.keys()
    header, row = (tmp_path / "log.csv").read_text().splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert 0 < float(found["attacker_loss"]) < 1.5
    assert job.passes.forwards["net"] == 64 * 4, "measuring is not training"


def built(tmp_path: Path, variant: Variant) -> tuple[L2L, Net, Net]:
    job = small_job(tmp_path)
    defense = L2L(variant=variant, steps=2, **SMALL)
    return defense, defense.build(job).eval(), job.model()


def test_two_steps_add_up_and_are_clipped(tmp_path: Path) -> None:
    defense, attacker, net = built(tmp_path, "two-step")
    batch = first_batch(small_job(tmp_path))
    x, y = batch.x, batch.y
    first = perturbation(attacker(attacker_input(net, x, y)), LINF)
    between = (x + first).clamp(0, 1)
    second = perturbation(attacker(attacker_input(net, between, y)), LINF)
    expected = (x + (first + second).clamp(-LINF.eps, LINF.eps)).clamp(0, 1)
    assert torch.allclose(
        defense.perturb(attacker, net, batch.x, batch.y, LINF), expected, atol=1e-6
    )


def test_each_of_many_steps_takes_a_share_of_the_perturbation(tmp_path: Path) -> None:
    defense, attacker, net = built(tmp_path, "multi-step")
    batch = first_batch(small_job(tmp_path))
    point = batch.x
    for _ in range(2):
        step = perturbation(attacker(attacker_input(net, point, batch.y)), LINF)
        point = (point + STRIDE * step).clamp(0, 1)
    assert torch.allclose(defense.perturb(attacker, net, batch.x, batch.y, LINF), point, atol=1e-6)


def test_classifier_and_attacker_alternate_as_written_out(tmp_path: Path) -> None:
    job = small_job(tmp_path, epochs=1, examples=32, schedule="constant", lr=0.05)
    defense = L2L(**SMALL)
    net, attacker, batch = job.model(), defense.build(job), first_batch(job)
    sgd = job.sgd(net)
    adam = torch.optim.Adam(attacker.parameters(), 1e-3, weight_decay=2e-4)
    x_adv = defense.perturb(attacker.eval(), net.train(), batch.x, batch.y, LINF).detach()
    sgd.zero_grad()
    F.cross_entropy(net(x_adv), batch.y).backward()
    sgd.step()
    x_adv = defense.perturb(attacker.train(), net.eval(), batch.x, batch.y, LINF)
    adam.zero_grad()
    (-F.cross_entropy(net(x_adv), batch.y)).backward()
    adam.step()
    defense.fit(job)
    trained, _ = load(tmp_path)
    for ours, written_out in zip(trained.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, written_out, atol=1e-6)
    kept, _ = read(tmp_path / "attacker" / "last.safetensors")
    for name, written_out in attacker.body.state_dict().items():
        assert torch.allclose(kept[name].float(), written_out.float(), atol=1e-5)


def test_the_attacker_learns_to_raise_the_loss(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    defense = L2L(**SMALL)
    net, attacker, batch = job.model(), defense.build(job), first_batch(job)
    adam = torch.optim.Adam(attacker.parameters(), 1e-2)

    def loss() -> torch.Tensor:
        return F.cross_entropy(net(defense.perturb(attacker, net, batch.x, batch.y, LINF)), batch.y)

    before = loss().item()
    for _ in range(10):
        adam.zero_grad()
        (-loss()).backward()
        adam.step()
    assert loss().item() > before

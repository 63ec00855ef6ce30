"""Defenses for several threats: the examples and the threats that they choose."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from bench.losses import cross_entropy
from bench.models.checkpoint import load
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from bench.training import adversarial, ascend, attacking, evaluating, hardest
from defenses.avg import AVG
from defenses.e_at import EAT, Tally, WorstPoint, extremes
from defenses.max import MAX
from defenses.msd import MSD
from defenses.ramp import RAMP
from defenses.sat import SAT
from tests.small import L1, L2, LINF, first_batch, sha256, small_job, watched_runs

UNION = (LINF, L2, L1)


def test_avg_is_the_mean_of_the_threats_losses(tmp_path: Path) -> None:
    settings = {"epochs": 1, "examples": 32, "schedule": "constant", "lr": 0.05}
    job = small_job(tmp_path, threats=UNION, **settings)
    net, batch = job.model(), first_batch(job)
    optimizer = job.sgd(net)
    examples = [adversarial(net, batch, threat, steps=2) for threat in UNION]
    losses = [F.cross_entropy(net(x), batch.y) for x in examples]
    torch.stack(losses).mean().backward()
    optimizer.step()
    AVG(steps=2).fit(job)
    trained, _ = load(tmp_path)
    for ours, written_out in zip(trained.parameters(), net.parameters(), strict=True):
        assert torch.allclose(ours, written_out, atol=1e-6)


def test_the_hardest_candidate_is_chosen_for_each_example(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    candidates = [adversarial(net, batch, threat, steps=2) for threat in UNION]
    with evaluating(net):
        losses = torch.stack([cross_entropy(net(x), batch.y) for x in candidates])
        found = cross_entropy(net(hardest(net, batch, candidates)), batch.y)
    assert torch.allclose(found, losses.amax(0))
    assert len(losses.argmax(0).unique()) > 1


@pytest.mark.parametrize("kind", [AVG, MAX, SAT, EAT])
def test_with_one_threat_they_are_the_same(kind: type, tmp_path: Path) -> None:
    job = small_job(tmp_path, threats=(LINF,), epochs=1)
    kind(steps=2).fit(job)
    assert job.passes.backwards["net"] == 64 * 3


def test_max_compares_all_threats_once(tmp_path: Path) -> None:
    job = small_job(tmp_path, threats=UNION, epochs=1)
    MAX(steps=1).fit(job)
    assert job.passes.forwards["net"] == 64 * (3 + 3 + 1)


def test_sat_draws_every_threat_one_at_a_time(tmp_path: Path) -> None:
    job = small_job(tmp_path, threats=UNION, epochs=1)
    SAT(steps=2).fit(job)
    assert job.passes.forwards["net"] == 64 * 3
    drawn = {first_batch(small_job(tmp_path, seed=seed)).draw(1.0, 1.0, 1.0) for seed in range(20)}
    assert drawn == {0, 1, 2}


def test_msd_stays_in_the_union_of_balls_and_raises_the_loss(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    x_adv = MSD(steps=4).perturb(net, batch, UNION)
    inside = torch.stack(
        [
            GEOMETRY[threat.norm].distance(x_adv - batch.x) <= threat.eps * (1 + 1e-5)
            for threat in UNION
        ]
    )
    assert inside.any(0).all()
    assert 0 <= x_adv.min() <= x_adv.max() <= 1
    with evaluating(net):
        before, after = (cross_entropy(net(x), batch.y) for x in (batch.x, x_adv))
    assert (after > before).all()


def test_msd_for_one_threat_is_pgd_from_the_image_with_the_worst_point_kept(
    tmp_path: Path,
) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    plain = adversarial(net, batch, LINF, steps=3, start=torch.zeros_like(batch.x))
    found = MSD(steps=3).perturb(net, batch, (LINF,))
    with evaluating(net):
        ours, theirs = (cross_entropy(net(x), batch.y) for x in (found, plain))
    assert (ours >= theirs - 1e-6).all()
    assert torch.allclose(found, plain, atol=1e-6) or (ours > theirs).any()


def test_e_at_takes_the_extreme_norms() -> None:
    assert extremes(UNION) == (LINF, L1)
    assert extremes((L1, L2, LINF)) == (LINF, L1)
    assert extremes((L2, L1)) == (L2, L1)
    assert extremes((L2, LINF)) == (LINF, L2)
    assert extremes((L2,)) == (L2,)


def test_e_at_draws_the_threat_that_breaks_more_examples_more_often(tmp_path: Path) -> None:
    batch = first_batch(small_job(tmp_path))
    right = torch.arange(len(batch.y)) < 24
    tally = Tally(2)
    tally.add(0, right)
    assert tally.errors() == (1.0, 1.0), "equal until both have been seen"
    tally.add(1, torch.zeros_like(right))
    assert tally.errors() == pytest.approx((0.25, 1.0))


def test_e_at_counts_an_example_as_broken_if_it_is_wrong_anywhere(tmp_path: Path) -> None:
    # Logits are the pixel and its negative: class 0 is right while the pixel is positive.
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1, 2, bias=False))
    net[1].weight.data = torch.tensor([[1.0], [-1.0]])
    path = torch.tensor([[3.0, 2.0, 1.0], [3.0, -1.0, 2.0], [-1.0, 2.0, 2.0], [3.0, 2.0, -1.0]])
    points = [column.view(-1, 1, 1, 1) for column in path.T]
    tracker = WorstPoint(net, points[0], torch.zeros(4, dtype=torch.long))
    for point in points:
        loss = tracker(point)
        assert torch.allclose(loss, F.softplus(-2 * point.flatten()))
    assert tracker.right.tolist() == [True, False, False, False]
    assert tracker.worst.flatten().tolist() == [1.0, -1.0, -1.0, -1.0]


def test_e_at_counts_in_eval_mode_before_the_update(tmp_path: Path) -> None:
    settings = {"epochs": 1, "examples": 32, "lr": 1e3, "schedule": "constant"}
    job = small_job(tmp_path, threats=(LINF, L1), arch="preactresnet10-w4", **settings)
    net, batch = job.model().eval(), first_batch(job)
    with watched_runs() as runs:
        EAT(steps=2).fit(job)
    tally = runs.call_args.kwargs["state"]["tally"]
    number = batch.draw(1.0, 1.0)
    tracker = WorstPoint(net, batch.x, batch.y)
    with attacking(net), torch.no_grad():
        tracker(ascend(tracker, batch.x, (LINF, L1)[number], steps=2))
    assert tally.right[number] == tracker.right.sum()


def test_e_at_needs_one_attack_a_batch_and_a_pass_at_its_end(tmp_path: Path) -> None:
    job = small_job(tmp_path, threats=UNION, epochs=1)
    EAT(steps=2).fit(job)
    assert job.passes.forwards["net"] == 64 * 4
    assert job.passes.backwards["net"] == 64 * 3


@pytest.mark.parametrize("kind", [MAX, EAT, RAMP])
def test_order_of_threats_does_not_change_them(kind: type, tmp_path: Path) -> None:
    hashes = set()
    for number, threats in enumerate([(LINF, L1), (L1, LINF)]):
        kind(steps=1).fit(small_job(tmp_path / str(number), threats=threats, epochs=1))
        hashes.add(sha256(tmp_path / str(number)))
    assert len(hashes) == 1


def test_threats_of_one_norm_may_differ_in_size() -> None:
    assert extremes((LINF, Threat.parse("linf:0.2"))) == (LINF, Threat.parse("linf:0.2"))

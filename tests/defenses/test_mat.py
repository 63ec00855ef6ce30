"""Mutual training: `at` without distillation, the documented formula otherwise."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import CrossfireError
from bench.models.checkpoint import load
from bench.threats import Threat
from bench.training import Job, adversarial_each
from defenses._plans import Plan, predictions
from defenses.at import AT
from defenses.avg import AVG
from defenses.mat import MAT
from tests.small import L1, L2, LINF, first_batch, sha256, small_job


def plan_of(mat: MAT, job: Job) -> Plan:
    return (
        mat.networks_for_one_threat(job)[0]
        if len(job.threats) == 1
        else mat.networks_for_union(job)[0]
    )


@pytest.mark.parametrize(
    "settings", [{"networks": 1}, {"alpha": 0.0, "labels_on": "own"}], ids=["alone", "unweighted"]
)
@pytest.mark.parametrize("threat", [LINF, L1], ids=str)
def test_without_peers_it_is_at_bit_for_bit(
    settings: dict[str, Any], threat: Threat, tmp_path: Path
) -> None:
    AT(steps=3).fit(small_job(tmp_path / "at", threats=(threat,)))
    MAT(steps=3, **settings).fit(small_job(tmp_path / "mat", threats=(threat,)))
    assert sha256(tmp_path / "at") == sha256(tmp_path / "mat")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("networks", 4, "one threat"),
        ("peers", ("cnn-w4",), "one threat"),
        ("labels_on", "own", "one threat"),
        ("distill_on", "own", "one threat"),
        ("examples_by", "both", "several threats"),
        ("specialists_learn_from", "all", "several threats"),
    ],
)
def test_an_option_that_would_not_be_read_is_refused(
    name: str,
    value: Any,  # noqa: ANN401
    wanted: str,
    tmp_path: Path,
) -> None:
    job = small_job(tmp_path / "run", threats=(LINF, L2) if wanted == "one threat" else (LINF,))
    said = f"^{name.replace('_', '-')} is for {wanted}; leave it out, .* or choose {wanted}"
    with pytest.raises(CrossfireError, match=said):
        MAT(steps=1, **{name: value}).fit(job)
    assert not list(job.out.glob("*"))


def test_networks_and_peers_agree() -> None:
    assert MAT(networks=2, peers=("cnn-w4",)).peers == ("cnn-w4",)
    with pytest.raises(CrossfireError, match="networks is 3, but there are 1 peers; leave it out"):
        MAT(networks=3, peers=("cnn-w4",))


def test_a_specialist_without_teachers_is_at_under_its_threat(tmp_path: Path) -> None:
    job = small_job(tmp_path / "mat", threats=(LINF, L2))
    MAT(steps=2).fit(job)
    specialist, _ = load(tmp_path / "mat" / "l2-0.4" / "last.safetensors")

    class Named(Job):
        def model(self, role: str = "l2-0.4", arch: str | None = None) -> Any:  # noqa: ANN401
            return super().model(role, arch)

    alone = small_job(tmp_path / "at", threats=(L2,))
    AT(steps=2).fit(Named(**{key: getattr(alone, key) for key in alone.__dataclass_fields__}))
    other, _ = load(tmp_path / "at" / "last.safetensors")
    assert all(map(torch.equal, specialist.parameters(), other.parameters()))


def test_without_distillation_the_generalist_is_avg_bit_for_bit(tmp_path: Path) -> None:
    AVG(steps=1).fit(small_job(tmp_path / "avg", threats=(LINF, L2), epochs=1))
    MAT(steps=1, alpha=0.0).fit(small_job(tmp_path / "mat", threats=(LINF, L2), epochs=1))
    assert sha256(tmp_path / "avg") == sha256(tmp_path / "mat")


def divergence(p: Tensor, q: Tensor, t: float) -> Tensor:
    return F.kl_div((q / t).log_softmax(1), (p / t).softmax(1), reduction="batchmean")


def test_two_peers_follow_the_formula(tmp_path: Path) -> None:
    job, y = small_job(tmp_path), torch.arange(6) % 3
    mat = MAT(alpha=0.3, temperature=2.0)
    z = {(i, k): torch.randn(6, 3, requires_grad=True) for i in (0, 1) for k in (0, 1)}
    expected = torch.zeros(())
    for i, j in ((0, 1), (1, 0)):
        supervised = (F.cross_entropy(z[i, 0], y) + F.cross_entropy(z[i, 1], y)) / 2
        taught = sum(divergence(z[j, k], z[i, k], 2.0) for k in (0, 1)) / 2
        expected = expected + 0.7 * supervised + 0.3 * 4 * taught
    assert torch.allclose(mat.loss(plan_of(mat, job), z, y), expected)


def test_labels_may_keep_their_full_weight(tmp_path: Path) -> None:
    job, y = small_job(tmp_path), torch.arange(6) % 3
    mat = MAT(alpha=0.3, combine="add", labels_on="own", distill_on="own")
    z = {(i, k): torch.randn(6, 3) for i in (0, 1) for k in (0, 1)}
    expected = sum(F.cross_entropy(z[i, i], y) for i in (0, 1))
    expected = expected + 0.3 * (divergence(z[1, 0], z[0, 0], 1) + divergence(z[0, 1], z[1, 1], 1))
    assert torch.allclose(mat.loss(plan_of(mat, job), z, y), torch.as_tensor(expected))


@pytest.mark.parametrize("threats", [(LINF,), (LINF, L2)], ids=["one threat", "several threats"])
def test_in_the_warm_up_there_is_no_distillation(
    threats: tuple[Threat, ...], tmp_path: Path
) -> None:
    for name, settings in (
        ("unweighted", {"alpha": 0.0}),
        ("warm", {"warm_up": 1.0}),
        ("half", {"warm_up": 0.5}),
    ):
        MAT(steps=1, **settings).fit(small_job(tmp_path / name, threats=threats, examples=32))
    unweighted, warm, half = (sha256(tmp_path / name) for name in ("unweighted", "warm", "half"))
    assert unweighted == warm != half
    logs = [(tmp_path / name / "log.csv").read_text().splitlines() for name in ("warm", "half")]
    firsts = [dict(zip(log[0].split(","), log[1].split(","), strict=True)) for log in logs]
    assert firsts[0]["loss"] == firsts[1]["loss"], "the first epoch is the same"


def test_a_warm_up_of_28_percent_of_25_epochs_lasts_seven(tmp_path: Path) -> None:
    """Although 0.28 * 25 is a little more than 7 in floating point."""
    logs = []
    for share in (1.0, 0.28):
        MAT(steps=1, warm_up=share).fit(small_job(tmp_path / str(share), examples=32, epochs=25))
        logs.append(pd.read_csv(tmp_path / str(share) / "log.csv")["loss"])
    assert list(logs[0].eq(logs[1])) == [True] * 7 + [False] * 18


def test_peers_are_attacked_from_different_starts(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    batch, nets = first_batch(job), [job.model(), job.model("peer-2")]
    nets[1].body.load_state_dict(nets[0].body.state_dict())
    one, other = adversarial_each([(net, LINF) for net in nets], batch, steps=1)
    assert not torch.isclose(one, other).flatten(1).all(1).any()


def test_no_network_has_a_gradient_through_its_teacher(tmp_path: Path) -> None:
    job, y = small_job(tmp_path), torch.arange(4)
    mat = MAT(alpha=1.0, distill_on="own", labels_on="own")
    z = {(i, k): torch.randn(4, 4, requires_grad=True) for i in (0, 1) for k in (0, 1)}
    mat.loss(plan_of(mat, job), z, y).backward()
    assert z[0, 0].grad is not None
    assert z[1, 0].grad is None
    assert z[0, 1].grad is None


def test_the_generalist_follows_the_formula(tmp_path: Path) -> None:
    job, y = small_job(tmp_path, threats=(LINF, L2, L1)), torch.arange(6) % 3
    mat = MAT(alpha=0.4)
    z = {(i, k): torch.randn(6, 3) for i in range(4) for k in range(6)}
    general = sum(F.cross_entropy(z[0, 2 + p], y) for p in (1, 2, 3)) / 3
    taught = sum(divergence(z[p, 2 + p], z[0, 2 + p], 1.0) for p in (1, 2, 3)) / 3
    specialists = sum(F.cross_entropy(z[p, p - 1], y) for p in (1, 2, 3))
    expected = 0.6 * general + 0.4 * taught + specialists
    assert torch.allclose(mat.loss(plan_of(mat, job), z, y), torch.as_tensor(expected))


@pytest.mark.parametrize(
    ("settings", "attacked", "distilled"),
    [
        ({"examples_by": "specialists"}, [1, 2], [[(1, 0), (2, 1)], [], []]),
        ({"examples_by": "generalist"}, [1, 2, 0, 0], [[(1, 2), (2, 3)], [], []]),
        (
            {"examples_by": "both"},
            [1, 2, 0, 0],
            [[(1, 0), (2, 1), (1, 2), (2, 3)], [], []],
        ),
        (
            {"examples_by": "specialists", "specialists_learn_from": "all"},
            [1, 2],
            [[(1, 0), (2, 1)], [(0, 0), (2, 0)], [(0, 1), (1, 1)]],
        ),
        (
            {"examples_by": "specialists", "specialists_learn_from": "generalist"},
            [1, 2],
            [[(1, 0), (2, 1)], [(0, 0)], [(0, 1)]],
        ),
    ],
)
def test_options_determine_examples_and_teachers(
    settings: dict[str, Any], attacked: list[int], distilled: list[Any], tmp_path: Path
) -> None:
    plan = plan_of(MAT(**settings), small_job(tmp_path, threats=(LINF, L2)))
    assert [i for i, _ in plan.images] == attacked
    assert plan.distilled == distilled
    assert plan.labels[1:] == [[0], [1]]
    assert plan.labels[0] == [k for _, k in distilled[0]]


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        # 2 attacks of 3 steps, then each network once on both sets.
        ({}, 2 * 3 + 4),
        # Each network once on its own set, and once as the teacher of the other.
        ({"labels_on": "own", "distill_on": "own"}, 2 * 3 + 4),
        ({"labels_on": "own", "alpha": 0.0}, 2 * 3 + 2),
    ],
)
def test_no_logits_are_computed_twice(
    settings: dict[str, Any], passes: int, tmp_path: Path
) -> None:
    job = small_job(tmp_path, epochs=1, examples=32)
    MAT(steps=3, **settings).fit(job)
    assert job.passes.forwards.total() == 32 * passes


def test_a_network_that_only_teaches_is_queried_without_gradients(tmp_path: Path) -> None:
    job = small_job(tmp_path, threats=(LINF, L2), arch="preactresnet10-w4")
    mat, batch = MAT(), first_batch(job)
    plan, companions = mat.networks_for_union(job)
    nets = [job.model(), *companions.values()]
    found = predictions(nets, [batch.x] * 4, plan)
    assert found.keys() == {(0, 2), (0, 3), (1, 0), (1, 2), (2, 1), (2, 3)}
    assert found[0, 2].requires_grad
    assert not found[1, 2].requires_grad
    assert nets[1].training


def test_peers_may_have_other_architectures(tmp_path: Path) -> None:
    MAT(steps=1, peers=("cnn-w2", "wrn-10-1")).fit(small_job(tmp_path, epochs=1))
    assert load(tmp_path / "peer-2")[1].arch == "cnn-w2"
    assert load(tmp_path / "peer-3")[1].arch == "wrn-10-1"

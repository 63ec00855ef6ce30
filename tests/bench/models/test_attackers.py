"""Attackers have the size of the published ones, and stay within the threat."""

import pytest
import torch

from bench.models.attackers import Kind, build_attacker, perturbation, shrink
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from tests.small import L1, L2, LINF

UNUSED = 1
"""The published wide and two-layer attackers hold one further parameter, which nothing uses."""


@pytest.mark.parametrize(
    ("kind", "published"),
    [("wide", 1_747_852 - UNUSED), ("two-layer", 354_056 - UNUSED), ("slim", 1_434_359)],
)
def test_sizes_are_the_published_ones(kind: Kind, published: int) -> None:
    attacker = build_attacker(kind, inputs=6, channels=3)
    assert sum(p.numel() for p in attacker.parameters()) == published


@pytest.mark.parametrize("kind", ["wide", "two-layer", "slim"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7)])
def test_the_output_has_the_size_of_the_input(kind: Kind, shape: tuple[int, ...]) -> None:
    attacker = build_attacker(kind, inputs=2 * shape[0], channels=shape[0], width=8)
    out = attacker(torch.rand(2, 2 * shape[0], *shape[1:]))
    assert out.shape == (2, *shape)


@pytest.mark.parametrize("threat", [LINF, L2, L1], ids=str)
@pytest.mark.parametrize("make", [perturbation, shrink])
def test_every_perturbation_is_within_the_ball(threat: Threat, make: type) -> None:
    raw = torch.randn(8, 3, 6, 6) * torch.logspace(-3, 2, 8).view(8, 1, 1, 1)
    delta = make(raw.requires_grad_(), threat)
    assert (GEOMETRY[threat.norm].distance(delta) <= threat.eps * (1 + 1e-5)).all()
    (gradient,) = torch.autograd.grad(delta.square().sum(), raw)
    assert gradient.isfinite().all()


def test_linf_is_epsilon_times_tanh() -> None:
    raw = torch.randn(2, 1, 3, 3)
    assert torch.equal(perturbation(raw, LINF), LINF.eps * raw.tanh())


def test_shrink_does_not_change_perturbations_within_the_ball() -> None:
    inside = torch.full((1, 1, 2, 2), 0.01)
    for threat in (LINF, L2, L1):
        assert torch.equal(shrink(inside, threat), inside)

"""Each model broken on purpose fails the check that names its cause."""

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from bench.attacks.pgd import PGD
from bench.diagnosis.gradients import gradient_checks
from bench.diagnosis.optimisation import optimisation_checks
from bench.diagnosis.other_attacks import repairs
from bench.diagnosis.preflight import preflight
from bench.diagnosis.subject import Effort, Subject, follow
from bench.threats import Threat
from benchmarks.disguises import DISGUISES, Disguise
from leaderboard.diagnosis import Check
from tests.sound import IMAGES, LABELS, LINF, cnn, single_step, train

QUICK = Effort(
    **{"steps": 40, "queries": 50, "targets": 1, "averaged": 3, "draws": 20, "remaining": 12},
    **{"imitation": 25, "planted": 16, "inner": 80, "search": 20},
)
CHECKS: dict[str, Callable[[Subject], Iterator[Check]]] = {
    "G": gradient_checks,
    "R": lambda subject: repairs(subject, len(subject)),
    "A": lambda subject: optimisation_checks(subject, follow(subject, PGD(steps=20))),
}


def examined(model: nn.Module, cause: str, threat: Threat = LINF) -> dict[str, Check]:
    """The checks of the cause's family, by id."""
    gates = {check.id: check for check in preflight(model, IMAGES, LABELS)}
    if cause in gates:
        return gates
    assert not any(check.verdict == "fail" for check in gates.values())
    subject = Subject.of(model, IMAGES, LABELS, threat, effort=QUICK)
    family = "G" if cause in ("P7", "P10") else cause[0]
    return {check.id: check for check in CHECKS[family](subject)}


@pytest.fixture(scope="module")
def sound(trained: dict[str, nn.Module]) -> nn.Module:
    """A network with logits as large as those of long training, which can saturate."""
    net = copy.deepcopy(trained["at-linf"])
    with torch.no_grad():
        for parameter in net.linear2.parameters():  # type: ignore[union-attr, operator]
            parameter *= 4
    return net


CASES = [
    pytest.param(disguise, cause, id=f"{disguise.name}-{cause}")
    for disguise in DISGUISES
    for cause in disguise.causes
    if cause != "S1"
]


@pytest.mark.parametrize(("disguise", "cause"), CASES)
def test_the_check_for_the_cause_fails_on_a_model_broken_on_purpose(
    disguise: Disguise, cause: str, sound: nn.Module
) -> None:
    torch.manual_seed(0)
    check = examined(disguise.on(sound), cause)[cause]
    assert check.verdict == "fail"
    assert check.advice


def test_catastrophic_overfitting_is_detected() -> None:
    overfitted = train(cnn(8), single_step(0.45), epochs=25)
    assert examined(overfitted, "A19", Threat.parse("linf:0.45"))["A19"].verdict == "fail"


def test_there_are_at_least_twelve_disguises() -> None:
    assert len(DISGUISES) >= 12

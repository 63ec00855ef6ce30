"""Features without gradient are found by the active test only; gates that forbid attacks."""

import pytest
from torch import Tensor, nn

from bench.diagnosis.preflight import preflight
from bench.diagnosis.run import Examination, diagnose
from bench.errors import CrossfireError
from bench.threats import Threat
from bench.threats.geometry import linf_project
from benchmarks.disguises import Blind
from tests.bench.diagnosis.test_broken import QUICK
from tests.sound import DATA, IMAGES, LABELS, LINF


def examined(model: nn.Module, threat: Threat = LINF, labels: Tensor = LABELS) -> Examination:
    return diagnose(model, IMAGES, labels, threat, effort=QUICK, training=DATA.train.images)


def failed(found: Examination) -> list[str]:
    return [check.id for check in found.checks if check.verdict == "fail"]


def test_a_hidden_adversarial_direction_passes_every_check_but_the_active_test(
    trained: dict[str, nn.Module],
) -> None:
    blind = Blind(trained["at-linf"], offset=7.0).eval()
    found = examined(blind)
    assert failed(found) == ["S1"]
    step = LINF.eps * blind.pattern.reshape(1, 1, 8, 8).expand_as(IMAGES)
    hidden = blind(IMAGES + linf_project(IMAGES, step, LINF.eps))
    right = float((hidden.argmax(1) == LABELS).float().mean())
    assert found.robust is not None
    assert right + 0.1 < found.robust / len(LABELS)


@pytest.mark.parametrize(("id_", "least", "most"), [("P12", 0.0, 1.0), ("P13", 0.1, 0.9)])
def test_a_clamp_on_the_images_is_a_warning_and_leaves_the_other_gates(
    trained: dict[str, nn.Module], id_: str, least: float, most: float
) -> None:
    clamped = nn.Sequential(nn.Hardtanh(least, most), trained["at-linf"]).eval()
    verdicts = {check.id: check.verdict for check in preflight(clamped, IMAGES, LABELS)}
    assert verdicts.pop(id_) == "warn"
    assert set(verdicts.values()) == {"pass"}


def test_after_a_gate_that_forbids_attacks_all_other_checks_are_skipped(
    trained: dict[str, nn.Module],
) -> None:
    found = examined(nn.Sequential(nn.BatchNorm2d(1), trained["at-linf"]).train())
    assert failed(found) == ["P3"]
    assert {check.verdict for check in found.checks} == {"pass", "fail", "n/a"}
    assert (found.correct, found.robust) == (None, None)


def test_too_few_correct_examples_are_an_error_with_advice(trained: dict[str, nn.Module]) -> None:
    with pytest.raises(CrossfireError, match="raise --examples"):
        examined(trained["linear"], labels=(LABELS + 1) % 10)

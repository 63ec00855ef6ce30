"""Held-out accuracies under PGD for each threat, and the detection of overfitting."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.errors import CrossfireError
from bench.threats import Threat
from bench.training import Net, Run
from bench.training.selection import Heldout, diagnose
from bench.types import Images, Labels
from defenses.at import AT
from tests.small import L2, LINF, small_job
from tests.toy import linear_model


def accuracies(threats: tuple[Threat, ...], tmp_path: Path) -> dict[str, float]:
    job = small_job(tmp_path, threats=threats)
    net = job.place(linear_model(0, (1, 8, 8), classes=10), "net")
    return Heldout(job.data.heldout, threats, job.fabric.device).accuracies(net)


def test_union_is_at_most_each_threat_and_each_at_most_clean(tmp_path: Path) -> None:
    found = accuracies((LINF, L2), tmp_path)
    assert list(found) == ["clean", "linf:0.1", "l2:0.4", "union", "fgsm"]
    assert found["union"] <= min(found["linf:0.1"], found["l2:0.4"])
    assert max(found["linf:0.1"], found["l2:0.4"]) <= found["clean"]


def test_a_tiny_threat_changes_nothing_and_a_huge_one_everything(tmp_path: Path) -> None:
    tiny = accuracies((Threat.parse("linf:1e-6"),), tmp_path)
    assert tiny["linf:1e-6"] == tiny["clean"] > 0
    assert accuracies((Threat.parse("linf:1"),), tmp_path)["linf:1"] == 0


def test_more_examples_than_a_chunk_are_all_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = accuracies((LINF,), tmp_path)
    monkeypatch.setattr("bench.training.selection.CHUNK", 50)
    assert accuracies((LINF,), tmp_path) == pytest.approx(whole)


def test_metrics_of_a_defense_are_means_over_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small_job(tmp_path)
    net = job.place(linear_model(0, (1, 8, 8), classes=10), "net")
    heldout = Heldout(job.data.heldout, (LINF,), job.fabric.device)

    def measure(net: Net, y: Labels, images: Mapping[str, Images]) -> dict[str, float]:
        assert images.keys() == {"clean", "linf:0.1"}
        assert not net.training
        return {"sevens": (y == 7).float().mean().item()}

    monkeypatch.setattr("bench.training.selection.CHUNK", 50)
    sevens = (job.data.heldout.labels == 7).float().mean().item()
    assert heldout.accuracies(net, measure)["sevens"] == pytest.approx(sevens)


def row(clean: float, union: float, fgsm: float) -> dict[str, float]:
    return {"clean": clean, "union": union, "fgsm": fgsm}


def test_catastrophic_overfitting_is_named() -> None:
    history = [row(0.6, 0.3, 0.35), row(0.7, 0.4, 0.45), row(0.8, 0.0, 0.9)]
    assert "catastrophic overfitting: PGD accuracy fell from 40% to 0%" in str(
        diagnose(history, 10)
    )


def test_overfitting_to_a_learned_attacker_is_named() -> None:
    history = [row(0.9, 0.3, 0.3) | {"attacker": 0.7}] * 2
    history += [row(0.98, 0.05, 0.1) | {"attacker": 0.9}]
    assert "5% while accuracy against the learned attacker is 90%" in str(diagnose(history, 10))


@pytest.mark.parametrize(("classes", "learned"), [(10, 0.3), (2, 0.8)])
def test_collapse_is_named_from_the_third_epoch_on_and_a_slow_start_is_none(
    classes: int, learned: float
) -> None:
    guess = row(1 / classes, 0.0, 0.0)
    better = row(learned, 0.0, 0.0)
    assert diagnose([better, guess], classes) is None
    assert diagnose([guess] * 9, classes) is None
    told = str(diagnose([guess, better, guess], classes))
    assert f"collapse: clean accuracy fell from {learned:.0%} to {1 / classes:.0%}" in told


def test_robust_overfitting_is_not_reported() -> None:
    assert (
        diagnose([row(0.8, 0.50, 0.55), row(0.83, 0.48, 0.55), row(0.85, 0.44, 0.55)], 10) is None
    )


def test_a_wrong_choice_of_the_best_epoch_is_refused_as_soon_as_it_is_known(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net = job.model()
    told = "select='linf' of at is no held-out accuracy; choose one of clean, linf:0.1, union, fgsm"
    with pytest.raises(CrossfireError, match=told):
        Run(job, AT(), net, select="linf")
    training = Run(job, AT(), net, select="linf", measure=lambda net, y, images: {"mine": 0.5})
    with pytest.raises(CrossfireError, match=f"{told}, mine"):
        list(training)
    assert not list(tmp_path.glob("*.safetensors"))

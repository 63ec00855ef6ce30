"""The learned attack is the one that `l2l` trained, example by example."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.attacks.base import Slots, drive
from bench.attacks.learned import load_attacker
from bench.errors import CrossfireError
from bench.evaluation import suites
from bench.evaluation.description import describe
from bench.threats import Threat
from bench.threats.geometry import GEOMETRY
from bench.training import evaluating
from defenses.l2l import L2L
from defenses.undefended import Undefended
from tests.small import L1, L2, LINF, first_batch, small_job
from tests.toy import images
from tests.walk import fresh

SMALL: dict[str, Any] = {"attacker": "two-layer", "width": 4}


def attack(learned: Any, net: Any, batch: Any, threat: Threat = LINF) -> torch.Tensor:  # noqa: ANN401
    with evaluating(net):
        slots = Slots.fresh(batch.x, batch.y, batch.y, batch.keys)
        return drive(net, learned, slots, threat)


@pytest.mark.parametrize("threat", [LINF, L2, L1], ids=str)
@pytest.mark.parametrize("variant", ["naive", "grad", "multi-step"])
def test_the_perturbation_of_one_example_is_that_of_training(
    variant: Any,  # noqa: ANN401
    threat: Threat,
    tmp_path: Path,
) -> None:
    job = small_job(tmp_path, epochs=1, examples=32, batch_size=1, threats=(threat,))
    # So many steps that points leave the ball before the last one, which is projected.
    defense = L2L(variant, **SMALL, steps=9 if variant == "multi-step" else 7)
    defense.fit(job)
    learned = load_attacker(tmp_path)
    net, batch = job.model(), first_batch(job)
    trained = job.place(learned.attacker.net, "attacker")
    with evaluating(net), torch.no_grad():
        expected = defense.perturb(trained, net, batch.x, batch.y, threat)
    assert torch.allclose(attack(learned, net, batch, threat), expected, atol=2e-5)


@pytest.mark.parametrize("threat", [LINF, L2, L1], ids=str)
def test_it_stays_in_ball_and_box_and_does_not_depend_on_the_batch(
    threat: Threat, tmp_path: Path
) -> None:
    job = small_job(tmp_path, epochs=1, threats=(threat,))
    L2L("two-step", **SMALL).fit(job)
    learned = load_attacker(tmp_path / "attacker")
    net, batch = job.model(), first_batch(job)
    x_adv = attack(learned, net, batch, threat)
    size = GEOMETRY[threat.norm].distance(x_adv - batch.x)
    assert (size <= threat.eps * (1 + 1e-5)).all()
    assert 0 <= x_adv.min() <= x_adv.max() <= 1
    alone = type(batch)(
        **{**vars(batch), "x": batch.x[:1], "y": batch.y[:1], "keys": batch.keys[:1]}
    )
    assert torch.allclose(attack(learned, net, alone, threat), x_adv[:1], atol=1e-5)


def test_images_with_other_channels_are_an_error(tmp_path: Path) -> None:
    L2L(**SMALL).fit(small_job(tmp_path, epochs=1))
    x = images(0, 2, (3, 8, 8))
    with pytest.raises(CrossfireError, match="the attacker is for 1 channels, the images have 3"):
        load_attacker(tmp_path).start(fresh(x, torch.zeros(2, dtype=torch.long)), LINF)


def test_it_is_a_suite_that_the_protocol_identifies_by_its_weights(tmp_path: Path) -> None:
    L2L(**SMALL).fit(small_job(tmp_path / "run", epochs=1))
    stages = suites.get(f"l2l:{tmp_path / 'run'}")("linf", 10)
    (described,) = describe(stages)
    assert len(described["attack"]["attacker"]) == 64
    assert str(tmp_path) not in str(described)


def test_a_run_without_an_attacker_is_an_error(tmp_path: Path) -> None:
    Undefended().fit(small_job(tmp_path / "run", epochs=1))
    with pytest.raises(CrossfireError, match="holds no attacker; train one with: bench train l2l"):
        suites.get(f"l2l:{tmp_path / 'run'}")
    with pytest.raises(CrossfireError, match="there is no checkpoint"):
        suites.get("l2l:nowhere")

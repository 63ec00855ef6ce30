"""What an outcome gives back: the adversarial images, and one line about the accuracies."""

import numpy as np
import pytest
import torch

from bench.attacks.pgd import PGD
from bench.errors import CrossfireError
from bench.evaluation import suites
from bench.evaluation.judge import allowed, distances
from bench.evaluation.record import adversarial
from bench.threats import Threat
from tests.bench.evaluation.test_evaluator import THREATS, problem, run


def test_there_is_an_adversarial_image_for_each_broken_example_and_for_no_other() -> None:
    model, x, y = problem()
    outcome = run(model, x, y)
    for threat in THREATS:
        images, places = outcome.adversarial(threat)
        robust = outcome.columns[threat, "pgd-100"].robust
        assert 0 < len(places) < len(y)
        assert places.tolist() == np.flatnonzero(outcome.clean & ~robust).tolist()
        assert bool((model(images).argmax(1) != y[places]).all())
        far = distances(x[places], images, Threat.parse(threat))
        assert bool((far <= allowed(Threat.parse(threat))).all())


def test_a_threat_is_named_by_itself_as_by_its_text() -> None:
    outcome, threat = run(*problem(8), "linf:8/255"), Threat.parse("linf:8/255")
    assert outcome.accuracy(threat) == outcome.accuracy("linf:8/255")
    assert torch.equal(outcome.adversarial(threat)[0], outcome.adversarial("linf:8/255")[0])
    with pytest.raises(CrossfireError, match=r"no column 'l2:1'; choose from linf:8/255$"):
        outcome.adversarial(Threat.parse("l2:1"))


def test_places_are_those_in_the_call_and_evidence_has_numbers_in_the_data_set() -> None:
    model, x, y = problem()
    outcome = run(model, x, y, "linf:0.05", numbers=torch.arange(100, 160))
    images, places = outcome.adversarial("linf:0.05")
    kept = adversarial(outcome, x)
    assert torch.equal(kept["linf:0.05/pgd-100/images"], images)
    assert torch.equal(kept["linf:0.05/pgd-100/indices"], places + 100)


def test_of_several_suites_the_first_that_broke_an_example_gives_its_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = PGD(steps=1, step_size=0.7, random_start=False, name="short")
    monkeypatch.setitem(suites._BUILT_IN, "short", lambda norm, classes: (suites.Stage(short),))
    outcome = run(*problem(), "l2:0.3", suites=("short", "pgd-100"))
    first, second = outcome.columns.values()
    images, places = outcome.adversarial("l2:0.3")
    assert 0 < int(first.kept.sum()) < len(places) == int((first.kept | second.kept).sum())
    for image, place in zip(images.numpy(), places.tolist(), strict=True):
        column = first if first.kept[place] else second
        assert np.array_equal(image, column.found[place])


def test_without_a_broken_example_there_are_no_images_and_unknown_threats_are_named() -> None:
    outcome = run(*problem(), "linf:1e-9")
    images, places = outcome.adversarial("linf:1e-9")
    assert (tuple(images.shape), len(places)) == ((0, 1, 6, 6), 0)
    with pytest.raises(CrossfireError, match=r"no column 'linf'; choose from linf:1e-9$"):
        outcome.adversarial("linf")


def test_an_outcome_is_shown_as_one_line_of_accuracies() -> None:
    outcome = run(*problem())
    assert repr(outcome).startswith("Outcome(60 examples: clean 90.0%, linf:0.05 ")
    assert f"l1:1 {outcome.accuracy('l1:1'):.1%}, union " in repr(outcome)
    assert "\n" not in repr(outcome)
    only = run(*problem(), union_only=True)
    with pytest.raises(CrossfireError, match=r"with union_only .* under l1:1 alone"):
        only.accuracy("l1:1")
    assert repr(only) == f"Outcome(60 examples: clean 90.0%, union {only.accuracy():.1%})"

"""Verdicts equal the exact worst case where it is known, and don't depend on batches or order."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import evaluate
from bench.attacks.pgd import PGD
from bench.evaluation import suites
from bench.evaluation.outcome import Outcome
from bench.evaluation.queue import CREDIT
from bench.losses import margin
from bench.threats import NORMS, Threat
from leaderboard.schema import UNION_ONLY
from tests.toy import exact_worst_case, images, linear_model

THREATS = ("linf:0.05", "l2:0.3", "l1:1")
SHAPE = (1, 6, 6)


def problem(n: int = 60, classes: int = 2) -> tuple[nn.Module, Tensor, Tensor]:
    model, x = linear_model(3, SHAPE, classes), images(5, n, SHAPE)
    labels = model(x).argmax(1)
    labels[::10] = (labels[::10] + 1) % classes
    return model, x, labels


def run(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: str = ",".join(THREATS),
    **settings: int | bool | str | Tensor | tuple[str, ...],
) -> Outcome:
    return evaluate(model, x, y, threat=threat, **{"precision": "fp32", **settings})


def flags(outcome: Outcome) -> dict[tuple[str, str], list[bool]]:
    return {pair: column.robust.tolist() for pair, column in outcome.columns.items()}


def test_every_column_and_the_union_equal_the_exact_worst_case() -> None:
    model, x, y = problem()
    outcome = run(model, x, y)
    union = torch.ones(len(y), dtype=torch.bool)
    for (threat, _), column in outcome.columns.items():
        exact = exact_worst_case(model, x, y, Threat.parse(threat))
        sure = exact.abs() > 1e-3
        assert 5 < int((exact > 0).sum()) < 55
        assert column.robust[sure].tolist() == (exact > 0)[sure].tolist(), threat
        union &= exact > 0
    assert outcome.accuracy() == pytest.approx(float(union.float().mean()), abs=0.02)


def test_the_union_is_no_larger_than_any_of_its_members() -> None:
    outcome = run(*problem())
    assert (
        outcome.accuracy() <= min(outcome.accuracy(t) for t in THREATS) <= outcome.accuracy("clean")
    )


@pytest.mark.parametrize("norm", NORMS)
def test_a_larger_epsilon_never_helps_the_model(norm: str) -> None:
    model, x, y = problem(30)
    accuracies = [run(model, x, y, f"{norm}:{e}").accuracy() for e in ("0.01", "0.1", "1")]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > accuracies[-1]


@pytest.fixture(scope="module")
def straight() -> Outcome:
    """The outcome of twenty examples."""
    return run(*problem(20, classes=4))


@pytest.mark.parametrize("capacity", [3, 16])
def test_flags_do_not_depend_on_the_batch_size(capacity: int, straight: Outcome) -> None:
    model, x, y = problem(20, classes=4)
    assert flags(run(model, x, y, capacity=capacity)) == flags(straight)


def test_flags_do_not_depend_on_the_order_of_the_examples(straight: Outcome) -> None:
    model, x, y = problem(20, classes=4)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(1))
    shuffled = run(model, x[order], y[order], numbers=order)
    for pair, column in straight.columns.items():
        assert column.robust[order.numpy()].tolist() == shuffled.columns[pair].robust.tolist()


def test_pruning_across_norms_gives_the_same_union(straight: Outcome) -> None:
    full, pruned = straight, run(*problem(20, classes=4), union_only=True)
    assert full.union.tolist() == pruned.union.tolist()
    spent = [sum(int(c.forward.sum()) for c in o.columns.values()) for o in (full, pruned)]
    assert spent[1] < spent[0]
    assert [finding.id for finding in pruned.findings] == [UNION_ONLY]
    assert UNION_ONLY not in [finding.id for finding in full.findings]


def test_an_example_found_for_one_norm_counts_for_each_budget_that_it_meets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blind = PGD(steps=1, step_size=0.0, random_start=False, name="blind")
    monkeypatch.setitem(
        suites._BUILT_IN,
        "linf-only",
        lambda norm, classes: (suites.Stage(PGD(steps=20) if norm == "linf" else blind),),
    )
    outcome = run(*problem(), "linf:0.05,l2:100,l1:0.01", suites=("linf-only",))
    linf, l2, l1 = outcome.columns.values()
    assert (linf.by >= 0).sum() > 5
    assert l2.robust.tolist() == linf.robust.tolist()
    assert l1.robust.tolist() == outcome.clean.tolist()
    assert set(l2.by[~l2.robust & outcome.clean]) == {CREDIT}
    assert "A15" in [finding.id for finding in outcome.findings]


def test_it_does_not_count_for_other_suites(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = PGD(steps=1, step_size=0.0, random_start=False, name="blind")
    monkeypatch.setitem(suites._BUILT_IN, "blind", lambda norm, classes: (suites.Stage(blind),))
    outcome = run(*problem(), "linf:0.05,l2:100", suites=("blind", "pgd-100"))
    for (_, suite), column in outcome.columns.items():
        assert (column.robust == outcome.clean).all() == (suite == "blind")


class NaNs(nn.Module):
    """A linear model that returns NaN near some images, but not at them."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.inner = linear_model(3, SHAPE)
        self.register_buffer("known", x.flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        nearest = torch.cdist(x.flatten(1), self.known, p=torch.inf).amin(1)
        bad = (nearest > 1e-5) & (nearest < 0.1)
        return self.inner(x).masked_fill(bad[:, None], torch.nan)


def test_logits_that_become_nan_under_attack_count_as_broken() -> None:
    _, x, _ = problem(20)
    model = NaNs(x).eval()
    y = model(x).argmax(1)
    noisy = run(model, x, y, "linf:0.02")
    assert noisy.accuracy("clean") == 1
    assert noisy.accuracy() == 0
    assert run(linear_model(3, SHAPE), x, y, "linf:0.02").accuracy() > 0.5


def test_uint8_images_are_read_as_fractions_of_255() -> None:
    model, x, _ = problem(20)
    pixels = (x * 255).round().to(torch.uint8)
    y = model(pixels.float() / 255).argmax(1)
    assert flags(run(model, pixels, y)) == flags(run(model, pixels.float() / 255, y))


def test_the_table_has_a_row_per_example_and_a_norm_for_each_broken_one() -> None:
    model, x, y = problem()
    outcome = run(model, x, y)
    table = outcome.table()
    assert len(table) == len(y)
    for threat in THREATS:
        robust = table[f"{threat}/pgd-100/robust"]
        broken = ~robust & (table["prediction"] == table["label"])
        norms = table[f"{threat}/pgd-100/norm"]
        assert norms[broken].max() <= Threat.parse(threat).eps + 1e-5
        assert norms[~broken].isna().all()
        assert set(table[f"{threat}/pgd-100/attack"][broken]) <= {"pgd-100", "credit"}


def test_verdicts_of_a_bf16_evaluation_are_those_of_float32() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 4)).eval().requires_grad_(False)
    x = images(5, 40, SHAPE)
    y = net(x).argmax(1)
    outcome = evaluate(
        net, x, y, threat="linf:0.05", suites=("crossfire",), precision="bf16", display="none"
    )
    assert outcome.precision == "bf16"
    np.testing.assert_allclose(outcome.margins, -margin(net(x), y), atol=1e-6)
    (column,) = outcome.columns.values()
    rows = np.flatnonzero(column.by >= 0)
    assert len(rows) > 5
    assert bool((net(torch.from_numpy(column.found[rows])).argmax(1) != y[rows]).all())

"""The evaluator believes no attack from elsewhere, whatever it does to the tensors it is given."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import evaluate
from bench.attacks.base import Response, Slots
from bench.attacks.external import ExternalAttack, Run
from bench.attacks.pgd import PGD
from bench.errors import CrossfireError
from bench.evaluation import engine, suites
from bench.evaluation.estimate import estimate
from bench.evaluation.evaluator import Evaluation
from bench.evaluation.journal import Journal
from bench.evaluation.judge import Violation
from bench.evaluation.outcome import Outcome
from bench.evaluation.settings import Settings
from bench.plugins.registry import Entry
from bench.threats import Threat
from tests.toy import exact_worst_case, images, linear_model

MODEL, X, THREAT = linear_model(3, classes=4), images(5, 40), "linf:0.01"
Y = MODEL(X).argmax(1)


def attacked_by(attack: object, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Outcome:  # noqa: ANN401
    register(attack, monkeypatch)
    options = {"model": MODEL, "images": X, "labels": Y, "threat": THREAT, **options}
    return evaluate(**options, suites=("mine",), display="none")


def register(attack: object, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("mine", "a test", lambda: attack)
    offered = {"attacks": {"mine": entry}, "suites": {}}
    monkeypatch.setattr(suites, "plugins", lambda kind: offered[kind])


def ascent(x: Tensor, model: nn.Module, y: Tensor) -> Tensor:
    with torch.enable_grad():
        point = x.detach().clone().requires_grad_()
        loss = nn.functional.cross_entropy(model(point), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
    return gradient.sign()


def exact() -> list[bool]:
    return (exact_worst_case(MODEL, X, Y, Threat.parse(THREAT)) > 0).tolist()


def test_a_function_is_an_attack_and_finds_the_exact_worst_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fgsm(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        best = torch.full((len(x),), torch.inf), x
        for other in range(4):
            slope = MODEL.weight[other] - MODEL.weight[y]
            point = (x + threat.eps * slope.view_as(x).sign()).clamp(0, 1)
            logits = model(point)
            least = logits.gather(1, y[:, None])[:, 0] - logits[:, other]
            least = torch.where(y == other, torch.inf, least)
            point = torch.where((least < best[0])[:, None, None, None], point, best[1])
            best = torch.minimum(least, best[0]), point
        return best[1]

    (column,) = attacked_by(fgsm, monkeypatch).columns.values()
    assert column.robust.tolist() == exact()
    assert not column.robust.all()


def in_place(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
    for _ in range(50):
        x += 0.01 * ascent(x, model, y)
        x.clamp_(0, 1)
    return x


def test_an_attack_that_changes_the_images_in_place_is_measured_from_the_originals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Violation, match=r"the attack left its threat linf:0\.01"):
        attacked_by(in_place, monkeypatch)
    search = ExternalAttack(in_place, "mine", bounded=False)
    assert attacked_by(search, monkeypatch).accuracy() == 1


def test_an_attack_that_changes_the_labels_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def relabel(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        y.add_(1)
        return x

    assert attacked_by(relabel, monkeypatch).accuracy() == 1


def test_an_attack_that_leaves_the_model_in_train_mode_does_not_change_the_judge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        model.train()
        return x

    dropped = nn.Sequential(MODEL, nn.Dropout(0.9)).eval()
    assert attacked_by(train, monkeypatch, model=dropped).accuracy() == 1


@dataclass(frozen=True)
class InPlace(PGD):
    def step(self, slots: Slots, response: Response, threat: Threat) -> Slots:
        slots.point.add_(0.5 * threat.eps * response.ascent.sign()).clamp_(0, 1)
        return slots.next(slots.point, slots.t >= self.steps)


def test_a_step_in_place_is_measured_from_the_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Violation, match="left its threat"):
        attacked_by(InPlace(random_start=False, name="mine"), monkeypatch)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (lambda x: x.numpy(), "returned ndarray; it must return a tensor"),
        (lambda x: None, "returned NoneType"),
        (lambda x: x[:-1], r"returned \(39, 1, 6, 6\); .* shape, \(40, 1, 6, 6\)"),
        (lambda x: 255 * x, "the attack left its threat"),
        (lambda x: x * torch.nan, "the attack left its threat"),
    ],
    ids=["numpy", "none", "fewer", "uint8-range", "nan"],
)
def test_points_that_are_none_of_the_threats_are_an_error(
    found: Any,  # noqa: ANN401
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(CrossfireError, match=message):
        attacked_by(lambda model, x, y, threat, seed: found(x), monkeypatch)


def test_a_plugin_that_is_no_attack_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CrossfireError, match="attack 'mine' of a test is a int; give a func"):
        attacked_by(5, monkeypatch)


def same(
    model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int, steps: object = 0
) -> Tensor:
    return x


def test_options_and_code_are_part_of_the_protocol(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hashes = [
        attacked_by(ExternalAttack(partial(same, steps=n), "mine"), monkeypatch).protocol.sha256
        for n in (5, 50, 50)
    ]
    assert hashes[0] != hashes[1] == hashes[2]
    code = tmp_path / "code.py"
    code.write_text("steps = 1")
    monkeypatch.setattr(sys.modules[__name__], "__file__", str(code))
    before = attacked_by(same, monkeypatch).protocol.sha256
    code.write_text("steps = 1  # enough")
    assert attacked_by(same, monkeypatch).protocol.sha256 == before
    code.write_text("steps = 2")
    assert attacked_by(same, monkeypatch).protocol.sha256 != before


class Steps:
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def run(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        return x


def made(steps: object) -> Run:
    def run(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
        return x if steps else y

    return run


@pytest.mark.parametrize("make", [lambda steps: Steps(steps).run, made], ids=["method", "closure"])
def test_what_a_function_captured_is_part_of_the_protocol(
    make: Callable[[int], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = [attacked_by(make(n), monkeypatch).protocol.sha256 for n in (5, 50, 50)]
    assert hashes[0] != hashes[1] == hashes[2]


def test_a_network_that_a_function_captured_is_known_by_its_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashes = {attacked_by(made(MODEL), monkeypatch).protocol.sha256 for _ in range(2)}
    other = attacked_by(made(linear_model(4)), monkeypatch).protocol.sha256
    assert len(hashes | {other}) == 2


def test_an_attack_that_fails_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CrossfireError, match=r"attack 'mine' fails \(TypeError"):
        attacked_by(lambda: PGD(), monkeypatch)


def test_an_option_that_cannot_be_recorded_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = ExternalAttack(partial(same, steps=torch.ones(1)), "mine")
    with pytest.raises(CrossfireError, match="settings of attack 'mine' cannot be recorded"):
        attacked_by(attack, monkeypatch)


attacked: list[int] = []


def killed(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int) -> Tensor:
    if len(attacked) == 3:
        attacked.append(0)
        raise KeyboardInterrupt
    attacked.append(len(x))
    return x


def test_a_killed_external_attack_resumes_after_its_last_batch_and_shows_progress(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run() -> list[tuple[int, int]]:
        shown: list[tuple[int, int]] = []
        work = evaluation(capacity=8)
        work.run(Journal(tmp_path, work.key), lambda *now: shown.append(now[:2]))
        return shown

    attacked.clear()
    register(killed, monkeypatch)
    monkeypatch.setattr(engine, "SAVE_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert run() == [(8, 16), (16, 16)]
    assert attacked == [8, 8, 8, 0, 8, 8]


def evaluation(**settings: Any) -> Evaluation:  # noqa: ANN401
    options = Settings(THREAT, ("mine",), dataset="toy", precision="fp32", **settings)
    return Evaluation(MODEL, X, Y, torch.arange(len(Y)), options)


def test_a_dry_run_attacks_only_its_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    register(killed, monkeypatch)
    attacked.clear()
    estimated = estimate(evaluation())
    assert attacked == [8]
    assert estimated.seconds > 0

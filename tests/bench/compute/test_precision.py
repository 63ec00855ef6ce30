"""Fast arithmetic agrees with the model, adapts to small memory, and has a float32 fallback."""

import pytest
import torch
from torch import Tensor, nn

from bench.attacks.base import Slots
from bench.attacks.pgd import PGD
from bench.compute.precision import (
    _cpu_multiplies_bf16_faster,
    _product_seconds,
    fold_batch_norm,
    resolve,
)
from bench.evaluation.proposer import Proposer, proposer
from bench.threats import Threat
from tests.toy import images, linear_model

LINF = Threat.parse("linf:0.05")


def trained() -> nn.Module:
    """A network whose batch norm has seen data, so that folding it is no identity."""
    torch.manual_seed(0)
    convolution, last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
    before, between, after = nn.BatchNorm2d(3), nn.BatchNorm2d(8), nn.BatchNorm2d(8)
    body = (before, convolution, between, nn.ReLU(), last, after, nn.Flatten())
    model = nn.Sequential(*body, nn.Linear(8 * 12 * 12, 10)).train()
    for _ in range(3):
        model(3 * torch.rand(16, 3, 16, 16))
    return model.eval()


def test_folding_batch_norm_into_the_convolution_before_it_changes_no_logit() -> None:
    model, x = trained(), torch.rand(4, 3, 16, 16)
    folded = fold_batch_norm(model)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 1
    assert torch.allclose(folded(x), model(x), atol=1e-5)


def test_a_model_that_cannot_be_traced_is_copied_unchanged() -> None:
    model = Sudden()
    assert fold_batch_norm(model) is not model
    assert torch.equal(fold_batch_norm(model)(torch.ones(1, 1, 2, 2)), torch.ones(1, 3))


def test_the_original_keeps_its_weights_and_its_gradients() -> None:
    model = trained()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    proposer(model, torch.rand(4, 3, 16, 16), precision="bf16")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.requires_grad for weight in model.parameters())


class Sudden(nn.Module):
    """A model that raises an error in bf16."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise RuntimeError("float32 only")
        return x.flatten(1)[:, :3]


def test_a_model_that_fails_in_bf16_is_queried_in_float32() -> None:
    fast = proposer(Sudden(), torch.rand(4, 1, 2, 2), precision="bf16")
    assert fast.dtype == torch.float32
    assert fast(torch.rand(2, 1, 2, 2)).shape == (2, 3)


class Small(nn.Module):
    """A model with memory for three images at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = linear_model(0), 0

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 3:
            raise torch.OutOfMemoryError
        self.seen = max(self.seen, len(x))
        return self.inner(x)


def slots(n: int) -> Slots:
    x = images(0, n)
    y = torch.zeros(n, dtype=torch.int64)
    return PGD().start(Slots.fresh(x, y, y, torch.arange(n)), LINF)


def test_running_out_of_memory_halves_the_batch_and_changes_no_response() -> None:
    small, whole = Proposer(Small(), limit=16), Proposer(linear_model(0))
    mine, theirs = small.query(PGD(), slots(10)), whole.query(PGD(), slots(10))
    assert small.limit <= 3
    assert torch.equal(mine.logits, theirs.logits)
    assert torch.allclose(mine.ascent, theirs.ascent)


def test_responses_of_a_random_model_are_averaged() -> None:
    values = iter([1.0, 2.0, 6.0])

    def network(x: Tensor) -> Tensor:
        return x.flatten(1)[:, :2] * 0 + next(values) + x.flatten(1)[:, :2] * 0

    response = Proposer(network, repeats=3).query(PGD(), slots(2))
    assert torch.allclose(response.logits, torch.full((2, 2), 3.0))


@pytest.mark.parametrize(
    ("supported", "seconds", "chosen"),
    [(False, 1.0, "fp32"), (True, 1.0, "bf16"), (True, 3.0, "fp32"), (True, 4.0, "fp32")],
)
def test_auto_is_bf16_only_where_products_of_matrices_are_clearly_faster_in_it(
    monkeypatch: pytest.MonkeyPatch, supported: bool, seconds: float, chosen: str
) -> None:
    times = {torch.float32: 2.0, torch.bfloat16: seconds}
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: supported)
    monkeypatch.setattr("bench.compute.precision._product_seconds", times.__getitem__)
    _cpu_multiplies_bf16_faster.cache_clear()
    assert resolve("auto", torch.device("cpu")) == chosen
    assert resolve("fp32", torch.device("cpu")) == "fp32"
    assert resolve("bf16", torch.device("cpu")) == "bf16"
    monkeypatch.undo()
    _cpu_multiplies_bf16_faster.cache_clear()


def test_a_longer_product_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    product = torch.mm

    def slow(a: Tensor, b: Tensor) -> Tensor:
        for _ in range(20 if a.dtype == torch.float32 else 0):
            product(a, b)
        return product(a, b)

    brief = _product_seconds(torch.float32)
    monkeypatch.setattr("torch.mm", slow)
    assert _product_seconds(torch.float32) > 5 * brief

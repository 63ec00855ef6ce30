"""A network of a job counts its passes, and its modes are restored after attacks."""

from pathlib import Path
from shutil import which

import pytest
import torch

from bench.compute.compilation import Form
from bench.losses import cross_entropy
from bench.training import Net, adversarial, attacking, evaluating, input_gradient
from tests.small import LINF, first_batch, small_job


def net_with_modes(tmp_path: Path) -> Net:
    net = small_job(tmp_path, arch="preactresnet10-w4").model()
    next(iter(net.parameters())).requires_grad_(False)
    net.body.get_submodule("bn").eval()
    return net


def state(net: Net) -> list[bool]:
    return [m.training for m in net.modules()] + [p.requires_grad for p in net.parameters()]


def test_during_an_attack_the_network_is_in_eval_mode_and_frozen(tmp_path: Path) -> None:
    net = net_with_modes(tmp_path)
    with attacking(net):
        assert not any(state(net))
    with evaluating(net):
        assert not any(module.training for module in net.modules())
        assert any(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("context", [attacking, evaluating])
def test_modes_are_restored_even_after_an_error(context: type, tmp_path: Path) -> None:
    net = net_with_modes(tmp_path)
    before = state(net)
    with pytest.raises(ZeroDivisionError), context(net):
        raise ZeroDivisionError
    assert state(net) == before


def test_attacks_do_not_change_batch_norm_statistics(tmp_path: Path) -> None:
    job = small_job(tmp_path, arch="preactresnet10-w4")
    net = job.model()
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    adversarial(net, first_batch(job), LINF, steps=2)
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())


def test_every_image_counts_once_in_each_pass(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    x_adv = adversarial(net, batch, LINF, steps=3)
    cross_entropy(net(x_adv), batch.y).mean().backward()
    assert job.passes.forwards == {"net": 4 * 32}
    assert job.passes.backwards == {"net": 4 * 32}
    net(batch.x)
    assert job.passes.forwards == {"net": 5 * 32}
    assert job.passes.backwards == {"net": 4 * 32}


def test_a_second_derivative_is_a_further_backward_pass(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    x = batch.x.requires_grad_()
    loss = cross_entropy(net(x), batch.y).sum()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    assert job.passes.backwards.total() == 32
    gradient.square().sum().backward()
    assert job.passes.backwards.total() == 64


def test_selection_is_not_counted(tmp_path: Path) -> None:
    job = small_job(tmp_path)
    net, batch = job.model(), first_batch(job)
    input_gradient(lambda x: net.uncounted()(x).sum(1), batch.x)
    assert job.passes.forwards.total() == job.passes.backwards.total() == 0


def test_weights_depend_on_seed_and_role(tmp_path: Path) -> None:
    def first(seed: int, role: str) -> torch.Tensor:
        return next(iter(small_job(tmp_path, seed=seed).model(role).parameters()))

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(first(0, "net"), first(0, "net"))
    assert torch.equal(torch.rand(1), expected), "building a network disturbs torch's generator"
    assert not torch.equal(first(0, "net"), first(1, "net"))
    assert not torch.equal(first(0, "net"), first(0, "peer"))


def test_bf16_gives_float32_logits_near_the_exact_ones(tmp_path: Path) -> None:
    job = small_job(tmp_path, precision="bf16")
    net, batch = job.model(), first_batch(job)
    logits = net(batch.x)
    assert logits.dtype is torch.float32
    assert torch.allclose(logits, net.body(batch.x), atol=0.02)
    assert not torch.equal(logits, net.body(batch.x))


def test_attacks_run_compiled_and_training_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_calls: list[bool] = []

    def compiled(network: torch.nn.Module, points: torch.Tensor) -> Form:
        return lambda points: compiled_calls.append(True) or network(points)

    monkeypatch.setattr("bench.training.nets.compiled", compiled)
    job = small_job(tmp_path, compile=True)
    net, batch = job.model(), first_batch(job)
    adversarial(net, batch, LINF, steps=3)
    assert len(compiled_calls) == 3
    net(batch.x)
    with evaluating(net):
        net(batch.x)
    assert len(compiled_calls) == 3
    assert net.state_dict().keys() == job.model("other").state_dict().keys()


def test_by_itself_only_long_training_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiling(**settings: object) -> bool:
        return small_job(tmp_path, **settings).model()._compiling

    assert not compiling()
    monkeypatch.setattr("bench.training.job.LONG", 1.0)
    assert compiling(precision="bf16")
    assert compiling(precision="fp32")
    assert not compiling(compile=False)


@pytest.mark.skipif(
    which("g++") is None or torch.__version__ < "2.7",
    reason="compiling needs a C++ compiler, and torch 2.6 can't trace code whose types are checked",
)
def test_compiled_attacks_are_the_same_attacks(tmp_path: Path) -> None:
    eager, faster = (small_job(tmp_path, compile=choice).model() for choice in (False, True))
    batch = first_batch(small_job(tmp_path))
    examples = [adversarial(net, batch, LINF, steps=3) for net in (eager, faster)]
    assert faster._compiled_body not in (None, faster.body)
    assert torch.isclose(*examples, atol=1e-4).float().mean() > 0.99

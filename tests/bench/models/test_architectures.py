import jaxtyping
import pytest
import torch
from torch import nn

from bench.errors import CrossfireError
from bench.models import Normalize, build

SMALL = ["cnn", "cnn-w8", "preactresnet10-w4", "preactresnet18-w4", "wrn-10-1", "wrn-16-2"]


def small(arch: str, channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return build(arch, classes=7, channels=channels, size=(8, 12)).eval()


@pytest.mark.parametrize("arch", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (10, 17)])
def test_there_is_one_logit_for_each_class_for_any_image_size(
    arch: str, channels: int, size: tuple[int, int]
) -> None:
    model = build(arch, classes=7, channels=channels, size=size).eval()
    assert model(torch.rand(2, channels, *size)).shape == (2, 7)


@pytest.mark.parametrize(
    ("arch", "millions"), [("preactresnet18", 11.17), ("wrn-28-10", 36.48), ("wrn-34-10", 46.16)]
)
def test_published_sizes(arch: str, millions: float) -> None:
    model = build(arch, classes=10, channels=3, size=(32, 32))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def test_parameter_names_are_those_of_published_checkpoints() -> None:
    preact = build("preactresnet18-w4", classes=10, channels=3, size=(32, 32)).state_dict()
    wrn = build("wrn-34-2", classes=10, channels=3, size=(32, 32)).state_dict()
    for name in ("conv1", "layer1.0.bn1", "layer2.0.conv2", "layer2.0.shortcut.0", "bn", "linear"):
        assert f"{name}.weight" in preact
    for name in ("conv1", "block1.layer.0.convShortcut", "block3.layer.4.bn2", "bn1", "fc"):
        assert f"{name}.weight" in wrn


@pytest.mark.parametrize("arch", SMALL)
def test_memory_format_does_not_change_the_logits(arch: str) -> None:
    model, x = small(arch), torch.rand(4, 3, 8, 12)
    expected = model(x)
    swapped = model.to(memory_format=torch.channels_last)
    got = swapped(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("arch", SMALL)
def test_bf16_autocast_stays_near_float32(arch: str) -> None:
    model, x = small(arch), torch.rand(4, 3, 8, 12)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(x)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), model(x), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("arch", SMALL)
def test_functional_gradients_agree_with_backward(arch: str) -> None:
    model, x = small(arch), torch.rand(2, 3, 8, 12)
    weights = dict(model.named_parameters()) | dict(model.named_buffers())
    per_example = torch.func.vmap(
        torch.func.grad(lambda image: torch.func.functional_call(model, weights, image[None]).sum())
    )(x)
    x.requires_grad_()
    (expected,) = torch.autograd.grad(model(x).sum(), x)
    torch.testing.assert_close(per_example, expected)


@pytest.mark.parametrize("arch", SMALL)
def test_the_graph_can_be_traced(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # a tracer is no tensor
    model, x = small(arch), torch.rand(2, 3, 8, 12)
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), model(x))


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    x = torch.rand(2, 3, 4, 4)
    expected = (x - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / 0.5
    torch.testing.assert_close(Normalize([0.1, 0.2, 0.3], [0.5] * 3)(x), expected)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("resnet", "unknown architecture 'resnet'"),
        ("preactresnet19", "unknown architecture"),
        ("cnn-w0", "unknown architecture"),
        ("wrn-12-1", "10, 16, 22, 28"),
        ("wrn-4-1", "10, 16, 22, 28"),
    ],
)
def test_a_wrong_name_is_an_error_of_one_line(arch: str, message: str) -> None:
    with pytest.raises(CrossfireError, match=message):
        build(arch, classes=10, channels=3, size=(32, 32))


def test_images_below_4_pixels_are_refused() -> None:
    with pytest.raises(CrossfireError, match="too small"):
        build("cnn", classes=10, channels=3, size=(32, 3))

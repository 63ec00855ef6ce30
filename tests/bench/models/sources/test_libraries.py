import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from bench.data import Dataset, Split
from bench.errors import CrossfireError
from bench.models import build
from bench.models.sources import find


def noise(channels: int = 3, classes: int = 5) -> Dataset:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (20, channels, 32, 32), dtype=torch.uint8)
    split = Split(images, torch.arange(20) % classes)
    return Dataset.divide("noise", classes, split, split)


def stored(folder: Path, model: torch.nn.Module) -> Path:
    save_file(model.state_dict(), folder / "weights.safetensors")
    return folder / "weights.safetensors"


def test_torchvision_architectures_take_weights_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    reference = models.get_model("squeezenet1_1", num_classes=5).eval()
    found = find("torchvision:squeezenet1_1", noise(), weights=stored(tmp_path, reference))
    x = noise().test.floats()
    assert torch.equal(found.model(x), reference(x))
    assert found.arch == "squeezenet1_1"


def test_weights_for_other_classes_or_of_another_model_are_refused(tmp_path: Path) -> None:
    weights = stored(tmp_path, models.get_model("squeezenet1_1", num_classes=7))
    with pytest.raises(CrossfireError, match=r"has shape \(7,\).* the number of classes"):
        find("torchvision:squeezenet1_1", noise(), weights=weights)
    with pytest.raises(CrossfireError, match="the weights are of another architecture"):
        find("torchvision:shufflenet_v2_x0_5", noise(), weights=weights)


def test_a_colour_model_on_grey_data_is_refused(tmp_path: Path) -> None:
    weights = stored(tmp_path, models.get_model("squeezenet1_1", num_classes=5))
    with pytest.raises(CrossfireError, match=r"does not take the images .* 1x32x32") as caught:
        find("torchvision:squeezenet1_1", noise(channels=1), weights=weights)
    assert "\n" not in str(caught.value)


def test_timm_architectures_fit_channels_and_classes(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    reference = timm.create_model("resnet10t", num_classes=5, in_chans=1).eval()
    found = find("timm:resnet10t", noise(channels=1), weights=stored(tmp_path, reference))
    x = noise(channels=1).test.floats()
    assert torch.equal(found.model(x), reference(x))
    with pytest.raises(CrossfireError, match="there is no model 'timm:resnet10z'; closest: "):
        find("timm:resnet10z", noise())


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module, spec, extra in (
        ("timm", "timm:resnet10t", "timm"),
        ("huggingface_hub", "hf-hub:a/b", "hf"),
        ("robustbench.utils", "robustbench:Wong2020Fast", "zoo"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(CrossfireError, match=rf"pip install 'crossfire-bench\[{extra}\]'"):
            find(spec, noise())


def test_a_model_of_the_hub_is_read_as_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = stored(tmp_path, build("wrn-10-1", classes=5, channels=3, size=(32, 32)))
    downloads: list[tuple[str, ...]] = []

    def download(*wanted: str) -> str:
        downloads.append(wanted)
        return str(weights)

    hub = SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    found = find("hf-hub:someone/robust", noise(), arch="wrn-10-1")
    assert (found.name, downloads) == ("someone/robust", [("someone/robust", "model.safetensors")])
    with pytest.raises(CrossfireError, match="does not name its architecture"):
        find("hf-hub:someone/robust/best.safetensors", noise())
    with pytest.raises(CrossfireError, match="--weights is for an architecture"):
        find("hf-hub:someone/robust", noise(), arch="wrn-10-1", weights=weights)


def test_an_unreachable_hub_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*wanted: str) -> str:
        raise OSError("no network\nmore")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=offline))
    with pytest.raises(CrossfireError, match="cannot fetch hf-hub:a/b") as caught:
        find("hf-hub:a/b", noise())
    assert "\n" not in str(caught.value)

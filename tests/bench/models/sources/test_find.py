from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.data import Dataset, Split
from bench.errors import CrossfireError
from bench.models import build, checkpoint
from bench.models.checkpoint import weights_sha256
from bench.models.sources import find


def shades(classes: int = 4, channels: int = 3, n: int = 40) -> Dataset:
    """Images of one shade each; the class is given by their brightness."""
    labels = torch.arange(n) % classes
    bright = 40 + labels * (200 // classes)
    images = bright[:, None, None, None].expand(n, channels, 8, 8).to(torch.uint8).contiguous()
    return Dataset.divide("shades", classes, Split(images, labels), Split(images, labels))


MODULE = """
import torch
from torch import nn

class Shades(nn.Module):
    def __init__(self, low=0.0, high=1.0, classes=4):
        super().__init__()
        bright = (40 + torch.arange(classes) * (200 // classes)) / 255
        self.register_buffer("centres", low + bright * (high - low))

    def forward(self, x):
        gaps = (x.mean((1, 2, 3))[:, None] - self.centres).abs()
        return -50 * gaps / (self.centres[-1] - self.centres[0])

class OnGpu(Shades):
    def cpu(self):
        self.there = "cpu"
        return super().cpu()

    def forward(self, x):
        assert self.there == "cpu", "Expected all tensors to be on the same device"
        return super().forward(x)

def on_gpu():
    net = OnGpu()
    net.there = "cuda:0"
    return net

def make():
    return Shades()

def signed():
    return Shades(-1.0, 1.0)

def bytes_():
    return Shades(0.0, 255.0)

class Strict(Shades):
    def forward(self, x):
        assert 0 <= x.min() and x.max() <= 1
        return super().forward(x).flip(1)

def strict():
    return Strict()

def five():
    return Shades(classes=5)

def grey():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.LazyLinear(4))

def leaves():
    raise SystemExit(3)

class Extra(Shades):
    def get_extra_state(self):
        return {"epoch": 3}

def extra():
    return Extra()

ready = Shades()

def word():
    return "model"

def fails():
    return 1 / 0

number = 3
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path / "mine.py"


def saved(folder: Path, classes: int = 10, channels: int = 1) -> Path:
    """A checkpoint of ours, untrained."""
    torch.manual_seed(0)
    model = build("cnn-w4", classes=classes, channels=channels, size=(8, 8))
    metadata = checkpoint.Metadata(
        **{"defense": "at", "config": {}, "dataset": "digits", "data_sha256": "", "arch": "cnn-w4"},
        **{"classes": classes, "channels": channels, "size": (8, 8), "threats": (), "epoch": 1},
        **{"epochs": 1, "selected_on": "heldout", "seed": 0, "forward_passes": 0, "commit": None},
        **{"backward_passes": 0, "seconds": 0.0, "versions": {}},
    )
    return checkpoint.save(folder, "best", model, metadata)


def test_a_checkpoint_is_named_by_its_folder_or_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(tmp_path / "mine", classes=4, channels=3)
    by_folder, by_file = find(str(tmp_path / "mine"), shades()), find(str(file), shades())
    assert (by_folder.name, by_folder.defense, by_folder.arch) == ("mine", "at", "cnn-w4")
    assert by_folder.metadata["dataset"] == "digits"
    assert by_folder.weights_sha256 == by_file.weights_sha256 == weights_sha256(by_file.model)
    monkeypatch.chdir(tmp_path / "mine")
    assert find(".", shades()).name == "mine"


def test_a_function_in_a_file_returns_a_model_in_eval_mode(mine: Path) -> None:
    found = find(f"{mine}:make", shades())
    assert (found.name, found.arch, found.defense) == ("mine:make", "Shades", None)
    assert found.source == f"{mine}:make"
    assert not found.model.training


def test_a_module_in_a_file_is_a_model_too(mine: Path) -> None:
    found = find(f"{mine}:ready", shades())
    assert (found.name, found.arch) == ("mine:ready", "Shades")


def test_a_model_on_a_gpu_is_moved_to_the_images(mine: Path) -> None:
    data = shades().test
    assert torch.equal(find(f"{mine}:on_gpu", shades()).model(data.floats()).argmax(1), data.labels)


def test_a_function_in_a_file_takes_weights_from_another_file(mine: Path) -> None:
    weights = mine.with_name("w.safetensors")
    save_file({"centres": torch.tensor([0.15, 0.35, 0.55, 0.75])}, weights)
    found = find(f"{mine}:make", shades(), weights=weights)
    assert found.model.state_dict()["centres"][0] == 0.15


def test_normalisation_becomes_part_of_the_model(mine: Path) -> None:
    found = find(f"{mine}:signed", shades(), normalize="0.5,0.5")
    data = shades().test
    assert torch.equal(found.model(data.floats()).argmax(1), data.labels)
    assert isinstance(found.model, nn.Sequential)


@pytest.mark.parametrize(
    ("callable_", "given", "message"),
    [
        ("signed", None, "100% with --normalize 0.5,0.5"),
        ("bytes_", None, "100% with --normalize 0,0.003922"),
        ("make", "imagenet", "100% with no normalisation"),
    ],
)
def test_another_range_of_pixels_is_detected_by_the_clean_accuracy(
    mine: Path, callable_: str, given: str | None, message: str
) -> None:
    with pytest.raises(CrossfireError, match=message):
        find(f"{mine}:{callable_}", shades(), normalize=given)


def test_who_asks_for_images_as_they_are_gets_them(mine: Path) -> None:
    with pytest.raises(CrossfireError, match="or with --normalize 0,1 if images in"):
        find(f"{mine}:signed", shades())
    assert find(f"{mine}:signed", shades(), normalize="0,1").name == "mine:signed"


def test_a_weak_model_that_rejects_other_ranges_is_taken(mine: Path) -> None:
    assert find(f"{mine}:strict", shades()).arch == "Strict"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "there is no model 'nothing'; name a checkpoint"),
        ("{mine}:none", "defines no 'none'"),
        ("{mine}:number", "defines no 'number' to call"),
        ("{mine}:word", "gives a str, not a torch.nn.Module"),
        ("{mine}:fails", r"fails when it is called \(ZeroDivisionError: division by zero"),
        ("{mine}:leaves", r"fails when it is called \(SystemExit: 3\)"),
        ("{mine}:extra", "'_extra_state' of the model is a dict, not a tensor"),
        ("{mine}", "write .*/mine.py:FUNCTION"),
        ("{mine}:five", "gives 5 logits but shades has 4 classes"),
        ("{mine}:grey", "does not take the images of shades, 3x8x8"),
        ("{folder}/none.py:make", "there is no file"),
        ("{folder}/grey", "is for 1 channels and 10 classes, shades has 3 and 4"),
        ("{folder}/weights.pt", "give one with --arch"),
        ("torchvision:resnet", "there is no model 'torchvision:resnet'; closest: .*resnet"),
        ("torchvision:resnet18", "give its weights with --weights"),
    ],
)
def test_each_error_is_one_line_with_the_correction(mine: Path, spec: str, message: str) -> None:
    saved(mine.parent / "grey")
    (mine.parent / "weights.pt").write_bytes(b"")
    with pytest.raises(CrossfireError, match=message) as caught:
        find(spec.format(mine=mine, folder=mine.parent), shades())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("{folder}/ours", {"normalize": "cifar10"}, "omit --normalize"),
        ("{folder}/ours", {"weights": Path("w.pt")}, "--weights is for an architecture"),
        ("{mine}:make", {"arch": "cnn"}, "--arch is for a file of weights"),
        ("{mine}:make", {"normalize": "cifar"}, "neither cifar10"),
        ("{mine}:make", {"normalize": "0.5"}, "no mean and positive deviation for 3 channels"),
        ("{mine}:make", {"normalize": "0.5,0"}, "positive deviation"),
        ("{mine}:make", {"weights": Path("none.pt")}, "there is no file none.pt"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    mine: Path, spec: str, options: dict[str, str], message: str
) -> None:
    saved(mine.parent / "ours", classes=4, channels=3)
    with pytest.raises(CrossfireError, match=message):
        find(spec.format(mine=mine, folder=mine.parent), shades(), **options)

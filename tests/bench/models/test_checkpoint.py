import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.errors import CrossfireError
from bench.models import build
from bench.models.checkpoint import HEADER, Metadata, load, save, weights_sha256

METADATA = Metadata(
    defense="at",
    config={"steps": 10},
    dataset="digits",
    data_sha256="00",
    arch="cnn-w4",
    classes=10,
    channels=1,
    size=(8, 8),
    threats=("linf:0.15",),
    epoch=3,
    epochs=5,
    selected_on="heldout",
    seed=0,
    forward_passes=10,
    backward_passes=9,
    seconds=1.5,
    versions={"torch": "2"},
    commit=None,
    heldout={"clean": 0.9},
)


def cnn(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build("cnn-w4", classes=10, channels=1, size=(8, 8)).eval()


def rewrite(path: Path, tensors: dict[str, torch.Tensor], header: str | None = None) -> None:
    save_file(tensors, path, None if header is None else {HEADER: header})


def test_a_checkpoint_returns_the_same_logits_and_metadata(tmp_path: Path) -> None:
    model, x = cnn(), torch.rand(3, 1, 8, 8)
    save(tmp_path, "best", model, METADATA)
    again, metadata = load(str(tmp_path))
    assert metadata == METADATA
    assert not again.training
    assert torch.equal(again(x), model(x))


def test_the_json_file_is_a_copy_of_the_metadata(tmp_path: Path) -> None:
    save(tmp_path, "last", cnn(), METADATA)
    assert Metadata.from_json((tmp_path / "last.json").read_text()) == METADATA


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = save(tmp_path / "a", "best", cnn(), METADATA).read_bytes()
    assert save(tmp_path / "b", "best", cnn(), METADATA).read_bytes() == first


def test_the_hash_depends_on_names_shapes_and_bits_but_not_on_the_memory_format() -> None:
    model = cnn()
    known = weights_sha256(model)
    assert weights_sha256(cnn()) == known
    assert weights_sha256(cnn().to(memory_format=torch.channels_last)) == known
    assert weights_sha256(nn.Sequential(model)) != known
    with torch.no_grad():
        model.conv1.bias[0] = torch.nextafter(model.conv1.bias[0], torch.tensor(9.0))
    assert weights_sha256(model) != known


def test_the_weights_are_sufficient_to_continue_training(tmp_path: Path) -> None:
    model = build("preactresnet10-w4", classes=3, channels=3, size=(8, 8))
    model(torch.rand(4, 3, 8, 8))
    arch = {"arch": "preactresnet10-w4", "classes": 3, "channels": 3}
    metadata = Metadata(**(vars(METADATA) | arch))
    again, _ = load(save(tmp_path, "best", model, metadata))
    assert weights_sha256(again) == weights_sha256(model)


def test_truncated_and_other_files_are_errors_of_one_line(tmp_path: Path) -> None:
    path = save(tmp_path, "best", cnn(), METADATA)
    whole = path.read_bytes()
    for damaged in (whole[:-10], whole[:20], b"", b"\x80\x04pickle"):
        path.write_bytes(damaged)
        with pytest.raises(CrossfireError, match="not a complete safetensors file") as caught:
            load(path)
        assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_names_the_command_that_makes_one(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(CrossfireError, match="bench train"):
            load(path)


def test_weights_without_metadata_require_the_architecture(tmp_path: Path) -> None:
    rewrite(tmp_path / "best.safetensors", cnn().state_dict())
    with pytest.raises(CrossfireError, match="--arch"):
        load(tmp_path)


@pytest.mark.parametrize("header", ["{", "{}", "[]", '{"arch": 1}'])
def test_metadata_of_another_kind_is_refused(tmp_path: Path, header: str) -> None:
    rewrite(tmp_path / "best.safetensors", cnn().state_dict(), header)
    with pytest.raises(CrossfireError, match="another version"):
        load(tmp_path)


@pytest.mark.parametrize("config", [3, {"training": 3}, {"training": {"code": ["a"]}}])
def test_metadata_with_options_of_another_kind_is_refused(tmp_path: Path, config: object) -> None:
    text = json.dumps(json.loads(METADATA.to_json()) | {"config": config})
    rewrite(tmp_path / "best.safetensors", cnn().state_dict(), text)
    with pytest.raises(CrossfireError, match="the options in its metadata"):
        load(tmp_path)


def test_nan_weights_are_refused_by_name(tmp_path: Path) -> None:
    tensors = cnn().state_dict()
    tensors["linear2.bias"][4] = float("nan")
    rewrite(tmp_path / "best.safetensors", tensors, METADATA.to_json())
    with pytest.raises(CrossfireError, match=r"'linear2.bias' holds NaN"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "wrn-10-1"}, "another architecture"),
        ({"arch": "cnn-w5"}, "has shape"),
        ({"classes": 100}, "number of classes"),
    ],
)
def test_weights_of_another_model_are_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    header = json.dumps(json.loads(METADATA.to_json()) | change)
    rewrite(tmp_path / "best.safetensors", cnn().state_dict(), header)
    with pytest.raises(CrossfireError, match=message):
        load(tmp_path)

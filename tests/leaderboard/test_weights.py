from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.models.checkpoint import weights_sha256 as of_model
from leaderboard.weights import weights_sha256


class Mixed(nn.Module):
    """Tensors of several types and shapes, a scalar and an empty one among them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2))
        for name, kind in {
            "short_float": torch.float16,
            "brain_float": torch.bfloat16,
            "long_float": torch.float64,
            "byte": torch.uint8,
            "mask": torch.bool,
            "small": torch.int16,
        }.items():
            self.register_buffer(name, torch.ones(2, 1).to(kind))
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("empty", torch.zeros(0, 4))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.randn(4, 5), "b": torch.tensor(1)}, path, {"crossfire": "{}"})
    return path


def test_a_file_has_the_hash_of_the_model_whose_weights_it_holds(tmp_path: Path) -> None:
    for number, model in enumerate((Mixed(), nn.BatchNorm2d(3))):
        path = tmp_path / f"{number}.safetensors"
        save_file(dict(model.state_dict()), path)
        assert weights_sha256(path) == of_model(model)


def test_the_hash_does_not_depend_on_metadata(file: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    save_file(load_file(file), tmp_path / "bare.safetensors")
    assert weights_sha256(tmp_path / "bare.safetensors") == weights_sha256(file)


def test_the_hash_depends_on_every_byte_of_a_tensor(file: Path) -> None:
    whole, content = weights_sha256(file), file.read_bytes()
    for place in (-1, -40, -88):
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        assert weights_sha256(file) != whole


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0[]", b'\x08\0\0\0\0\0\0\0{"a": 1}'],
    ids=["empty", "garbage", "no object", "no tensor"],
)
def test_other_files_are_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        weights_sha256(file)


def test_a_truncated_file_is_refused(file: Path) -> None:
    content = file.read_bytes()
    for size in (5, 20, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(ValueError, match="not a complete safetensors file"):
            weights_sha256(file)

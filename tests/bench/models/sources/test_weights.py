import pickle
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from bench.errors import CrossfireError
from bench.models import build
from bench.models.sources.weights import load_into, read


def wrn(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build("wrn-10-2", classes=10, channels=3, size=(32, 32)).eval()


def published() -> dict[str, torch.Tensor]:
    """The weights of a model as they are published: without our normalisation."""
    return {k: v for k, v in wrn(1).state_dict().items() if not k.startswith("normalize")}


@pytest.mark.parametrize("nest", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module.model."])
def test_prefixes_of_wrappers_are_removed(tmp_path: Path, nest: str | None, prefix: str) -> None:
    content = {prefix + name: tensor for name, tensor in published().items()}
    torch.save({nest: content, "epoch": 3} if nest else content, tmp_path / "w.pt")
    model = wrn()
    load_into(model, read(tmp_path / "w.pt"), "w.pt")
    assert torch.equal(model.fc.weight, published()["fc.weight"])


@pytest.mark.parametrize("parallel", [False, True])
def test_the_average_of_weights_by_pytorch_is_read(parallel: bool) -> None:
    stored = AveragedModel(nn.DataParallel(wrn(1)) if parallel else wrn(1))
    model = wrn()
    load_into(model, stored.state_dict(), "w.pt")
    assert torch.equal(model.fc.weight, published()["fc.weight"])


@pytest.mark.parametrize(
    ("mean", "std", "prefix"),
    [
        ("mu", "sigma", ""),
        ("module.mu", "module.sigma", "module."),
        ("normalize.mean", "normalize.std", "model."),
        ("module.normalize.mean", "module.normalize.std", "module.model."),
        ("0.mean", "0.std", "1."),
        ("module.0.mu", "module.0.sigma", "module.1."),
    ],
)
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (3,), (1,), ()])
def test_the_normalisation_of_a_wrapper_becomes_ours(
    mean: str, std: str, prefix: str, shape: tuple[int, ...]
) -> None:
    model = wrn()
    extra = {mean: torch.rand(shape), std: torch.rand(shape) + 0.1}
    load_into(model, {prefix + k: v for k, v in published().items()} | extra, "w.pt")
    assert torch.equal(model.fc.weight, published()["fc.weight"])
    assert torch.equal(model.normalize.mean.flatten(), extra[mean].flatten().expand(3))
    assert torch.equal(model.normalize.std.flatten(), extra[std].flatten().expand(3))


def test_a_network_with_a_mean_of_its_own_loads_its_own_weights() -> None:
    stored, model = (wrn(seed) for seed in (1, 0))
    for net in (stored, model):
        net.mean = nn.Parameter(torch.rand(3))
    load_into(model, stored.state_dict(), "w.pt")
    assert all(torch.equal(v, stored.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_normalisation_for_other_channels_is_refused() -> None:
    with pytest.raises(CrossfireError, match=r"'normalize.mean' has shape \(2,\)"):
        load_into(wrn(), published() | {"mu": torch.rand(2)}, "w.pt")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_layers_that_are_stored_but_never_used_are_skipped(prefix: str) -> None:
    spare = {"sub_block1.layer.0.conv1.weight": torch.rand(3)}
    stored = {prefix + name: tensor for name, tensor in (published() | spare).items()}
    load_into(wrn(), stored, "w.pt")


def test_layers_are_not_skipped_in_a_model_that_has_them() -> None:
    model = nn.ModuleDict({"fc": nn.Linear(1, 1), "sub_block1": nn.Linear(1, 1)})
    load_into(model, nn.ModuleDict(dict(model)).state_dict(), "w.pt")


def test_counters_of_batch_normalisation_may_be_missing() -> None:
    old = {k: v for k, v in published().items() if not k.endswith("num_batches_tracked")}
    load_into(wrn(), old, "w.pt")


def test_missing_unknown_and_misshapen_tensors_are_named() -> None:
    full = published()
    less = {k: v for k, v in full.items() if k != "fc.bias"}
    for tensors, message in (
        (less, "no 'fc.bias'"),
        (full | {"extra": torch.rand(1)}, "unknown 'extra'"),
        (full | {"fc.bias": torch.rand(100)}, r"'fc.bias' has shape \(100,\) in place of \(10,\)"),
        (full | {"fc.bias": torch.full((10,), torch.nan)}, "'fc.bias' holds NaN"),
    ):
        with pytest.raises(CrossfireError, match=message):
            load_into(wrn(), tensors, "w.pt")


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("trap-was-sprung", "w"))


def test_a_pickle_is_refused_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Trap()}, "new.pt")
    Path("old.pt").write_bytes(pickle.dumps(Trap()))
    for name in ("new.pt", "old.pt"):
        with pytest.raises(CrossfireError, match="could run any code") as caught:
            read(Path(name))
        assert "\n" not in str(caught.value)
    assert not Path("trap-was-sprung").exists()


def test_damaged_files_and_other_files_have_different_errors(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.save(published(), file)
    whole = file.read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "not a complete file of weights"),
        (b"", "not a complete file of weights"),
        (b"<!DOCTYPE html>\n<html>", r"it starts with '<!DOCTYPE html>\\n'; download it again"),
        (b"404: Not Found", "starts with '404: Not Found'; download it again"),
        (b"version https://git-lfs.github.com/spec/v1", "starts with 'version https://'; down"),
    ):
        file.write_bytes(content)
        with pytest.raises(CrossfireError, match=message) as caught:
            read(file)
        assert "\n" not in str(caught.value)
    with warnings.catch_warnings():  # newer versions of PyTorch advise against it
        warnings.simplefilter("ignore")
        torch.jit.trace(nn.Linear(1, 1), torch.rand(1, 1)).save(file)
    with pytest.raises(CrossfireError, match="is a TorchScript program; load it with"):
        read(file)
    torch.save({"epoch": 3}, file)
    with pytest.raises(CrossfireError, match="holds no weights by name"):
        read(file)

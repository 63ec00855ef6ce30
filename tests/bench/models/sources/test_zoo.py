from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.data import Dataset, Split
from bench.errors import CrossfireError
from bench.models.sources import find, zoo

if find_spec("robustbench") is None:
    pytest.skip("the extra zoo is not installed", allow_module_level=True)
ID = "cifar10/L2/Rice2020Overfitting"


@pytest.fixture(scope="module")
def entry() -> dict[str, Any]:
    """RobustBench's own entry of a PreActResNet-18."""
    return zoo._entries(zoo._import("robustbench:..."))[ID]


@pytest.fixture(scope="module")
def reference(entry: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Its weights as the test makes them, in RobustBench's own layout of folders."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("models") / f"{ID}.pt"
    file.parent.mkdir(parents=True)
    torch.save({"state_dict": entry["model"]().state_dict()}, file)
    yield file
    file.unlink()


def noise(labels: torch.Tensor | None = None) -> Dataset:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    split = Split(images, torch.arange(4) if labels is None else labels)
    return Dataset.divide("noise", 10, split, split)


@pytest.fixture(scope="module")
def expected(entry: dict[str, Any], reference: Path) -> torch.Tensor:
    """The logits of RobustBench's own class."""
    model = entry["model"]().eval()
    model.load_state_dict(torch.load(reference)["state_dict"])
    with torch.no_grad():
        logits: torch.Tensor = model(noise().test.floats())
    return logits


def test_a_zoo_model_is_loaded_from_a_file_and_from_a_folder(
    expected: torch.Tensor, reference: Path
) -> None:
    data = noise(expected.argmax(1))
    for weights in (reference, reference.parents[2]):
        found = find(f"robustbench:{ID}", data, weights=weights)
        assert torch.equal(found.model(data.test.floats()), expected)
    assert found.name == ID


def test_our_architecture_has_the_same_logits_with_the_same_weights(
    expected: torch.Tensor, reference: Path
) -> None:
    data = noise(expected.argmax(1))
    ours = find(str(reference), data, arch="preactresnet18")
    logits = ours.model(data.test.floats())
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_the_error_of_missing_weights_names_the_download(
    entry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = f"needs models/{ID}.pt; download https://drive.google.com/uc.id={entry['gdrive_id']}"
    with pytest.raises(CrossfireError, match=message):
        find(f"robustbench:{ID}", noise())
    with pytest.raises(CrossfireError, match=r"Chen2020Adversarial.pt_m0.pt; download"):
        find("robustbench:cifar10/Linf/Chen2020Adversarial", noise())


def test_an_ambiguous_and_an_unknown_id_name_the_candidates() -> None:
    with pytest.raises(CrossfireError, match="write robustbench:cifar10/Linf/Rice2020"):
        find("robustbench:Rice2020Overfitting", noise())
    with pytest.raises(CrossfireError, match="closest: Rice2020Overfitting"):
        find("robustbench:Rice2020Overfiting", noise())


def test_damaged_and_other_weights_are_errors_of_one_line(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.save({"state_dict": {"conv1.weight": torch.rand(2)}}, file)
    other, message = file.read_bytes(), "the weights of robustbench:"
    for content, expected in (
        (b"nothing", f"{file} is not a file of weights; it starts with 'nothing'"),
        (other[: len(other) // 2], message),
        (other, message),
    ):
        file.write_bytes(content)
        with pytest.raises(CrossfireError, match=expected) as caught:
            find(f"robustbench:{ID}", noise(), weights=file)
        assert "\n" not in str(caught.value)

from collections.abc import Callable
from types import MappingProxyType

import jaxtyping
import pytest
import torch
from torch import Tensor

import bench.data
from bench.data import Dataset, Split, load
from bench.errors import CrossfireError
from bench.plugins.registry import Entry

LABELS = torch.arange(8) % 2


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Registers an object as the data set `mine` of a plugin."""

    def register(found: object) -> None:
        entry = Entry("mine", "extras 1.0", lambda: found)
        monkeypatch.setattr(bench.data, "plugins", lambda kind: MappingProxyType({"mine": entry}))

    return register


def fails() -> Dataset:
    raise KeyError("path")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (fails, "'mine' of extras 1.0 fails .KeyError: 'path'.; update or uninstall it"),
        (5, "'mine' of extras 1.0 fails .TypeError: 'int' object is not callable"),
        (dict, "'mine' of extras 1.0 is not a bench.data.Dataset"),
    ],
)
def test_what_makes_no_data_set_is_an_error_of_one_line(
    offer: Callable[[object], None], found: object, message: str
) -> None:
    offer(found)
    with pytest.raises(CrossfireError, match=message) as caught:
        load("mine")
    assert "\n" not in str(caught.value)


def made(images: Tensor) -> Callable[[], Dataset]:
    return lambda: Dataset.divide("mine", 2, Split(images, LABELS), Split(images, LABELS))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(8, 1, 4, 4), r"torch.float32 of shape \(8, 1, 4, 4\); .*torch.uint8 tensor"),
        (torch.zeros(8, 4, 4, dtype=torch.uint8), r"shape \(8, 4, 4\); .*\(n, c, h, w\)"),
    ],
)
def test_images_of_another_type_or_number_of_axes_are_refused(
    offer: Callable[[object], None], images: Tensor, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    offer(made(images))
    with pytest.raises(CrossfireError, match=message) as caught:
        load("mine")
    assert "\n" not in str(caught.value)

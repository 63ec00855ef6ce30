"""Examples are named by what they are, whichever file they come from."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import load
from bench.data.known import identify
from bench.data.splits import Split
from leaderboard.known import KNOWN


def test_the_known_hashes_of_digits_are_those_of_digits() -> None:
    digits = load("digits")
    for known in KNOWN:
        if known.dataset == "digits":
            split = digits.test if known.split == "test" else digits.train
            assert known.shape == split.shape
            assert len(split) in known.prefixes
            for examples, sha256 in known.prefixes.items():
                assert split.take(examples).sha256() == sha256


def test_a_copy_of_digits_is_digits_at_any_length(tmp_path: Path) -> None:
    digits = load("digits")
    arrays = {
        f"{axis}_{part}": values
        for part, split in (("train", digits.train), ("test", digits.test))
        for axis, values in (("x", split.images[:, 0].numpy()), ("y", split.labels.numpy()))
    }
    np.savez(tmp_path / "mine.npz", **arrays)
    copy = load(f"npz:{tmp_path / 'mine.npz'}").test
    assert [identify(copy, n) for n in (1, 64, 65, 449, 450)] == ["digits"] * 5


def test_a_prefix_is_identified_only_up_to_its_length() -> None:
    short = load("digits").test.take(200)
    assert identify(short, 128) == "digits"
    assert identify(short, 129) is None


def changed(split: Split, how: str) -> Split:
    images, labels = split.images.clone(), split.labels.clone()
    if how == "pixel":
        images[10, 0, 3, 3] ^= 1
    elif how == "label":
        labels[10] = (labels[10] + 1) % 10
    else:
        order = torch.arange(len(labels)).roll(1)
        images, labels = images[order], labels[order]
    return Split(images, labels)


@pytest.mark.parametrize("how", ["pixel", "label", "order"])
def test_one_different_example_makes_it_another_set(how: str) -> None:
    other = changed(load("digits").test, how)
    # The changed example is within the shortest known prefix, evaluated or not.
    assert [identify(other, n) for n in (5, 64, 450)] == [None] * 3


def test_images_of_another_shape_are_not_hashed() -> None:
    class Unread(Split):
        def sha256(self) -> str:
            raise AssertionError

    assert identify(Unread(torch.zeros(9, 3, 64, 64).byte(), torch.zeros(9).long()), 9) is None


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["cifar10", "mnist"])
def test_real_files_are_the_public_sets(name: str) -> None:
    if "CROSSFIRE_DATA" not in os.environ:
        pytest.skip("CROSSFIRE_DATA names no folder")
    data = load(f"npz:{os.environ['CROSSFIRE_DATA']}/{name}.npz")
    assert identify(data.test, 250) == identify(data.test, 1000) == name
    for known in (known for known in KNOWN if known.dataset == name):
        split = data.test if known.split == "test" else data.train
        for examples, sha256 in known.prefixes.items():
            assert split.take(examples).sha256() == sha256

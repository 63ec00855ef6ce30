import re

import pytest

from leaderboard.known import KNOWN, called, expected


def test_all_hashes_are_different_and_well_formed() -> None:
    hashes = [sha256 for known in KNOWN for sha256 in known.prefixes.values()]
    assert len(hashes) == len(set(hashes))
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in hashes)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known.dataset} {known.split}")
def test_every_prefix_is_found_by_name_and_by_hash(known: object) -> None:
    assert isinstance(known, type(KNOWN[0]))
    for examples, sha256 in known.prefixes.items():
        assert called(sha256, "npz:mine.npz") == known.dataset
        assert expected(known.dataset, known.split, examples) == sha256


def test_unknown_data_keep_their_name() -> None:
    assert called("0" * 64, "npz:mine.npz") == "npz:mine.npz"
    assert expected("cifar10", "test", 257) is None
    assert expected("npz:mine.npz", "test", 256) is None

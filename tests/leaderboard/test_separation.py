import itertools

import numpy as np
import pytest

from leaderboard import separation
from leaderboard.flags import pack
from leaderboard.seeds import Runs, compare_runs
from leaderboard.separation import holm, ranks


def rows(levels: list[float], sizes: tuple[int, ...], images: int = 300) -> list[Runs]:
    """Recipes of these accuracies, best first, whose numbers of runs are `sizes` in turn."""
    rng, turn = np.random.default_rng(0), itertools.cycle(sizes)
    bits = [rng.random((next(turn), images)) < level for level in levels]
    found = [Runs(tuple(map(pack, b)), images, tuple(range(len(b)))) for b in bits]
    return sorted(found, key=lambda row: -row.accuracy)


def by_hand(table: list[Runs]) -> list[tuple[int, int]]:
    """Ranks from every pair's p-value, one after the other."""
    pairs = list(itertools.combinations(range(len(table)), 2))
    p = holm([compare_runs(table[i], table[j]).p for i, j in pairs])
    apart = [pair for pair, value in zip(pairs, p, strict=True) if value < 0.05]
    return [
        (1 + sum(j == k for _, j in apart), len(table) - sum(i == k for i, _ in apart))
        for k in range(len(table))
    ]


def test_holms_adjusted_p_values() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


@pytest.mark.parametrize("sizes", [(1,), (3,), (1, 2, 3, 3)])
@pytest.mark.parametrize("few", [0, 20_000])
def test_ranks_follow_from_the_tests_of_all_pairs(
    sizes: tuple[int, ...], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separation, "_FEW", few)
    monkeypatch.setattr(separation, "_BLOCK", 3)
    table = rows([0.9, 0.88, 0.6, 0.58, 0.57, 0.3, 0.28, 0.05], sizes)
    found = ranks(table)
    assert found == by_hand(table)
    assert len(set(found)) > 2


def test_rows_far_apart_have_one_rank_each_and_equal_rows_all_of_them() -> None:
    assert ranks(rows([0.9, 0.5, 0.1], (5,))) == [(1, 1), (2, 2), (3, 3)]
    assert ranks(rows([0.5], (3,)) * 4) == [(1, 4)] * 4
    assert ranks(rows([0.5], (1,))) == [(1, 1)]
    assert ranks([]) == []


def test_a_row_between_two_others_may_be_equal_to_both() -> None:
    images = np.arange(400)
    # A difference of five images is not significant, one of ten is.
    table = [Runs((pack(images < level),), 400) for level in (210, 205, 200)]
    assert ranks(table) == [(1, 2), (1, 3), (2, 3)]


def test_more_pairs_need_more_evidence() -> None:
    images = np.arange(400)
    table = [Runs((pack(images < level),), 400) for level in (206, 200)]
    assert ranks(table) == [(1, 1), (2, 2)]
    assert ranks([*table, table[1]]) == [(1, 3)] * 3


def test_single_precision_of_large_tables_changes_no_rank() -> None:
    table = rows(list(np.linspace(0.8, 0.2, 1001)), (1, 3), images=64)
    found = ranks(table)
    assert found[0].low == 1
    assert found[-1].high == 1001
    assert found[0].high < 1001
    assert all(one.low <= place <= one.high for place, one in enumerate(found, start=1))


def test_the_bound_for_many_pairs_gives_the_ranks_of_all_p_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = rows(list(np.linspace(0.8, 0.2, 210)), (1, 3), images=64)
    bounded = ranks(table)
    monkeypatch.setattr(separation, "_FEW", 10**9)
    assert ranks(table) == bounded


@pytest.mark.parametrize(("size", "images"), [(2, 1000), (3, 1000), (5, 450)])
def test_at_most_one_table_of_equal_recipes_in_twenty_shows_a_difference(
    size: int, images: int
) -> None:
    rng, wrong = np.random.default_rng(size), 0
    for _ in range(60):
        image, seed = rng.normal(0, 1, images), rng.normal(0, 0.2, (12, size, 1))
        own, rest = rng.normal(0, 0.3, (12, 1, images)), rng.normal(0, 0.5, (12, size, images))
        right = image + seed + own + rest > 1
        table = [Runs(tuple(map(pack, bits)), images, tuple(range(size))) for bits in right]
        table.sort(key=lambda row: -row.accuracy)
        wrong += any(found != (1, 12) for found in ranks(table))
    assert wrong <= 4

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t as scipy_t
from scipy.stats import ttest_ind, ttest_rel

from leaderboard.flags import pack
from leaderboard.seeds import SHARES, Runs, compare_runs, estimate
from leaderboard.statistics import wilson
from leaderboard.student import two_sided
from tests.records import mcnemar

Bits = NDArray[np.bool_]


def runs(bits: Bits, first: int = 0) -> Runs:
    return Runs(tuple(map(pack, bits)), bits.shape[1], tuple(range(first, first + len(bits))))


def drawn(seed: int, size: int, images: int = 200, share: float = 0.4) -> Bits:
    return np.random.default_rng(seed).random((size, images)) < share


def reference(a: Bits, b: Bits, paired: bool) -> float:
    """The test of the module's docstring, written out."""
    difference = a.mean(0) - b.mean(0)
    images = difference.var(ddof=1) / a.shape[1]
    if paired:
        seeds = (a.mean(1) - b.mean(1)).var(ddof=1) / len(a)
    else:
        seeds = sum(side.mean(1).var(ddof=1) / len(side) for side in (a, b))
    return tail(difference.mean(), images, seeds, min(len(a), len(b)) - 1)


def tail(gap: float, images: float, seeds: float, dof: int) -> float:
    """The probability of the gap, with the seeds' share rounded up as documented."""
    variance = images + seeds
    share = math.ceil(SHARES * seeds / variance) / SHARES
    return two_sided(abs(gap) / math.sqrt(variance), dof, share)


@pytest.mark.parametrize(("sizes", "first"), [((3, 3), 0), ((5, 5), 0), ((3, 5), 0), ((3, 3), 9)])
def test_the_p_value_is_that_of_the_documented_test(sizes: tuple[int, int], first: int) -> None:
    a, b = drawn(1, sizes[0]), drawn(2, sizes[1], share=0.45)
    paired = first == 0 and sizes[0] == sizes[1]
    difference = compare_runs(runs(a), runs(b, first))
    assert difference.gap == pytest.approx(a.mean() - b.mean())
    assert difference.p == pytest.approx(reference(a, b, paired))


def test_two_common_seeds_are_not_paired() -> None:
    a, b = drawn(1, 2), drawn(2, 2)
    assert compare_runs(runs(a), runs(b)) == compare_runs(runs(a), runs(b, first=9))


def test_the_order_of_runs_and_of_recipes_does_not_matter() -> None:
    a, b = runs(drawn(1, 4)), runs(drawn(2, 4))
    turned = Runs(a.flags[::-1], a.examples, a.seeds[::-1])
    assert compare_runs(turned, b) == pytest.approx(compare_runs(a, b))
    assert compare_runs(b, a).p == pytest.approx(compare_runs(a, b).p)
    assert compare_runs(b, a).gap == -compare_runs(a, b).gap


def test_without_variance_over_images_it_is_the_t_test_over_seeds() -> None:
    # Every image is as hard as every other: each run gets a share of them, the same for all.
    def share(level: int, images: int = 20_000) -> Bits:
        return np.arange(images) < level

    a = np.stack([share(k) for k in (9000, 9400, 9900)])
    b = np.stack([share(k) for k in (8000, 8900, 8300)])
    nested, paired = compare_runs(runs(a), runs(b, 9)), compare_runs(runs(a), runs(b))
    # The images' part is small, not nothing; other seeds have the fewest degrees of freedom.
    welch = ttest_ind(a.mean(1), b.mean(1), equal_var=False)
    assert nested.p == pytest.approx(2 * scipy_t.sf(abs(welch.statistic), 2), rel=0.1)
    assert nested.p > welch.pvalue
    assert paired.p == pytest.approx(ttest_rel(a.mean(1), b.mean(1)).pvalue, rel=0.1)


def test_single_runs_are_compared_by_mcnemar() -> None:
    a, b = drawn(1, 1), drawn(2, 1, share=0.6)
    difference = compare_runs(runs(a), runs(b))
    assert difference.p == pytest.approx(mcnemar(pack(a[0]), pack(b[0])))
    assert difference.gap == pytest.approx(a.mean() - b.mean())


def test_the_pairing_separates_what_the_intervals_do_not() -> None:
    better, worse = (np.arange(1000)[None] < correct for correct in (520, 500))
    assert wilson(520, 1000).low < wilson(500, 1000).high
    assert compare_runs(runs(better), runs(worse)).separated


def test_one_run_against_several_has_the_degrees_of_freedom_of_their_seeds() -> None:
    a, b = drawn(1, 1, share=0.7), drawn(2, 3)
    images = (a.mean(0) - b.mean(0)).var(ddof=1) / 200
    seeds = b.mean(1).var(ddof=1) * (1 + 1 / 3)
    expected = tail(a.mean() - b.mean(), images, seeds, 2)
    assert compare_runs(runs(a), runs(b)).p == pytest.approx(expected)
    assert compare_runs(runs(b), runs(a)).p == pytest.approx(expected)


def test_the_smallest_gap_is_just_significant() -> None:
    a, b = runs(drawn(1, 3)), runs(drawn(2, 3, share=0.6))
    difference = compare_runs(a, b)
    assert difference.smallest is not None
    assert difference.separated == (abs(difference.gap) > difference.smallest)


def test_equal_rows_do_not_differ_and_opposite_ones_do() -> None:
    right, wrong = np.ones((3, 50), bool), np.zeros((3, 50), bool)
    assert compare_runs(runs(right), runs(right)).p == 1
    assert compare_runs(runs(right), runs(wrong)).p < 1e-12


def test_agreement_on_a_few_images_is_no_certainty() -> None:
    """Images count as at least one that differs: a normal number of 1 has p = 0.32."""
    right, wrong = np.ones((3, 1), bool), np.zeros((3, 1), bool)
    assert compare_runs(runs(right), runs(wrong)).p == pytest.approx(0.3173, abs=1e-4)
    wide = np.zeros((3, 450), bool)
    assert compare_runs(runs(wide), runs(wide)).smallest == pytest.approx(1.96 / 450, rel=1e-3)


def test_only_rows_on_the_same_images_are_compared() -> None:
    with pytest.raises(ValueError, match="the same images"):
        compare_runs(runs(drawn(1, 2)), runs(drawn(1, 2, images=201)))


def test_a_single_run_has_wilsons_interval() -> None:
    (bits,) = drawn(1, 1)
    assert estimate([pack(bits)], 200)[1:] == wilson(int(bits.sum()), 200)


def test_equal_seeds_are_one_run_and_different_ones_widen_the_interval() -> None:
    bits = drawn(1, 1)
    same = estimate(runs(np.repeat(bits, 5, axis=0)).flags, 200)
    assert same[1:] == pytest.approx(wilson(int(bits.sum()), 200), abs=2e-3)
    uneven = np.concatenate([drawn(k, 1, share=share) for k, share in enumerate((0.2, 0.4, 0.6))])
    assert np.ptp(estimate(runs(uneven).flags, 200)[1:]) > 3 * np.ptp(same[1:])


def test_runs_that_are_all_wrong_or_all_right_have_wilsons_interval_of_one() -> None:
    assert estimate(runs(np.zeros((3, 50), bool)).flags, 50) == (0, *wilson(0, 50))
    assert estimate(runs(np.ones((3, 50), bool)).flags, 50) == (1, *wilson(50, 50))


@pytest.mark.parametrize("first", [0, 9])
def test_equal_recipes_are_separated_at_most_at_the_nominal_rate(first: int) -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        image, seed = rng.normal(size=150), rng.normal(0, 0.15, (2, 4, 1))
        own, rest = rng.normal(0, 0.3, (2, 1, 150)), rng.normal(0, 0.5, (2, 4, 150))
        a, b = image + seed + own + rest > 0.9
        found.append(compare_runs(runs(a), runs(b, first)).separated)
    assert 0.005 < np.mean(found) < 0.075


def test_one_run_against_very_many_is_compared_too() -> None:
    many, one = drawn(0, 120), drawn(1, 1)
    found = compare_runs(runs(many), runs(one))
    assert 0 <= found.p <= 1


def test_two_models_without_any_difference_have_no_smallest_gap() -> None:
    bits = drawn(0, 1)
    assert compare_runs(runs(bits), runs(bits)).smallest is None
    far = compare_runs(runs(drawn(0, 2, images=4)), runs(~drawn(0, 1, images=4)))
    assert far.smallest is None or far.smallest <= 1

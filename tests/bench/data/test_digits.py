import torch

from bench.data import load
from bench.data.splits import shuffled

DIGITS_TEST = "be30ab9704be796c"


def test_digits_are_uint8_in_three_disjoint_parts_that_cover_all_1797() -> None:
    digits = load("digits")
    assert (digits.classes, digits.channels, digits.size) == (10, 1, (8, 8))
    assert digits.test.images.dtype == torch.uint8
    assert digits.test.labels.dtype == torch.int64
    lengths = [len(s) for s in (digits.train, digits.heldout, digits.test)]
    assert sum(lengths) == 1797
    together = torch.cat([s.images.flatten(1) for s in (digits.train, digits.heldout, digits.test)])
    assert len(together.unique(dim=0)) == 1797


def test_digits_every_part_holds_every_class_in_equal_shares() -> None:
    digits = load("digits")
    for split, share in ((digits.train, 0.675), (digits.heldout, 0.075), (digits.test, 0.25)):
        counts = split.labels.bincount(minlength=10)
        assert (counts - share * 179.7).abs().max() < 6


def test_digits_shades_span_the_whole_range_of_uint8() -> None:
    images = load("digits").test.images
    assert images.unique().tolist() == [round(v * 255 / 16) for v in range(17)]


def test_digits_test_split_never_changes() -> None:
    assert load("digits").test.sha256()[:16] == DIGITS_TEST


def test_floats_lie_between_0_and_1() -> None:
    floats = load("digits").test.floats()
    assert floats.dtype == torch.float32
    assert (floats.min(), floats.max()) == (0, 1)


def test_the_hash_depends_on_every_pixel_every_label_and_the_order() -> None:
    split = load("digits").test.take(10)
    pixel, label = split.images.clone(), split.labels.clone()
    pixel[3, 0, 2, 2] += 1
    label[3] += 1
    others = [type(split)(pixel, split.labels), type(split)(split.images, label)]
    others.append(split.select(torch.arange(9, -1, -1)))
    assert len({s.sha256() for s in [split, *others]}) == 4


def test_take_keeps_the_first_examples_and_none_keeps_all() -> None:
    test = load("digits").test
    assert torch.equal(test.take(7).images, test.images[:7])
    assert test.take(None) is test


def test_shuffled_is_the_same_permutation_everywhere() -> None:
    assert shuffled(8).tolist() == [6, 2, 1, 7, 3, 0, 5, 4]

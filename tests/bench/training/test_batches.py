"""The batches of an epoch depend on seed, epoch and step only."""

import pytest
import torch
import torch.nn.functional as F

from bench.data import Split
from bench.training.batches import PAD, Augmentation, Batch, Batches

CPU = torch.device("cpu")


def split(n: int = 20, size: int = 6) -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (n, 3, size, size), generator=generator, dtype=torch.uint8)
    return Split(images, torch.arange(n))


def batches(
    augment: Augmentation = "none", seed: int = 0, rank: int = 0, world: int = 1
) -> Batches:
    return Batches(split(), 8, seed=seed, augment=augment, device=CPU, rank=rank, world=world)


def epoch(made: Batches, number: int = 0) -> list[Batch]:
    return [made(number, step) for step in range(made.steps)]


def test_an_epoch_uses_no_example_twice_and_omits_the_remainder() -> None:
    labels = torch.cat([batch.y for batch in epoch(batches())])
    assert len(labels) == 16
    assert len(labels.unique()) == 16


def test_batches_repeat_exactly_and_differ_by_epoch_and_seed() -> None:
    first = batches()(0, 0)
    assert torch.equal(first.x, batches()(0, 0).x)
    assert torch.equal(first.uniform("a"), batches()(0, 0).uniform("a"))
    assert not torch.equal(first.y, batches()(1, 0).y)
    assert not torch.equal(first.y, batches(seed=1)(0, 0).y)


def test_images_keep_their_labels_and_lie_in_the_unit_interval() -> None:
    whole = split()
    batch = batches()(0, 1)
    assert torch.equal(batch.x, whole.images[batch.y].float() / 255)


@pytest.mark.parametrize("augment", ["crop", "crop-flip"])
def test_crops_are_windows_of_the_padded_image(augment: Augmentation) -> None:
    whole = split()
    padded = F.pad(whole.images, (PAD,) * 4).float() / 255
    mirrored = 0
    for batch in epoch(batches(augment)):
        for image, label in zip(batch.x, batch.y, strict=True):
            windows = padded[label].unfold(1, 6, 1).unfold(2, 6, 1).flatten(1, 2).transpose(0, 1)
            plain = (windows == image).flatten(1).all(1).any()
            flipped = (windows.flip(-1) == image).flatten(1).all(1).any()
            assert plain or flipped
            mirrored += int(not plain)
    assert bool(mirrored) == (augment == "crop-flip")


def test_the_parts_of_all_devices_are_the_batch() -> None:
    one = batches("crop-flip")(0, 0)
    parts = [batches("crop-flip", rank=rank, world=2)(0, 0) for rank in range(2)]
    for rank, part in enumerate(parts):
        assert torch.equal(part.x, one.x[rank::2])
        assert torch.equal(part.uniform("start"), one.uniform("start")[rank::2])


def test_draws_follow_their_weights_and_repeat() -> None:
    made = batches()
    drawn = [made(number, step).draw(1.0, 0.0, 3.0) for number in range(200) for step in (0, 1)]
    assert drawn == [made(n, step).draw(1.0, 0.0, 3.0) for n in range(200) for step in (0, 1)]
    assert drawn.count(1) == 0
    assert 60 < drawn.count(0) < 140


def test_fewer_examples_than_a_batch_are_one_batch() -> None:
    made = Batches(split(5), 8, seed=0, augment="none", device=CPU)
    assert made.steps == 1
    assert len(made(0, 0).y) == 5
    assert made(0, 0).last

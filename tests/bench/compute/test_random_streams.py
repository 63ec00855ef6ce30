"""Random numbers are keyed by the example."""

import torch

from bench.compute.random_streams import fold, keys, uniform


def test_numbers_depend_on_the_example_and_not_on_the_batch() -> None:
    together = uniform(keys(1, torch.tensor([5, 9, 2]), "pgd", 0), 3, 2)
    alone = uniform(keys(1, torch.tensor([9]), "pgd", 0), 3, 2)
    assert torch.equal(together[1:2], alone)


def test_seed_index_and_each_part_name_another_stream() -> None:
    index = torch.tensor([7])
    several = [
        keys(0, index),
        keys(1, index),
        keys(0, index + 1),
        keys(0, index, "a"),
        keys(0, index, "b"),
    ]
    several += [keys(0, index, "a", 1), fold(keys(0, index), 3)]
    assert len({int(key) for key in several}) == len(several)


def test_numbers_are_uniform_and_uncorrelated() -> None:
    u = uniform(keys(0, torch.arange(200)), 1000)
    assert float(u.min()) > 0
    assert float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 0.003
    assert abs(float(u.var()) - 1 / 12) < 0.001
    assert float(torch.corrcoef(u[:20]).fill_diagonal_(0).abs().max()) < 0.15
    shares = torch.histc(u, 16, 0, 1) / u.numel()
    assert float((shares - 1 / 16).abs().max()) < 0.002

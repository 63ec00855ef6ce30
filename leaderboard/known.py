"""Public data sets, identified by the hash of their first examples, not by their file.

A hash is that of `bench.data.splits.sha256`: shape, pixels and labels of the examples, in their
order. Test sets are in their publisher's order; `train` is what a defense trains on, the training
set without its held-out tenth. Of CIFAR-10's test set only the first 1,000 examples are known here.
"""

from typing import NamedTuple


class Known(NamedTuple):
    """A split of a public data set."""

    dataset: str
    """The data set's name, as `--dataset` takes it."""
    split: str
    """Name of the split."""
    shape: tuple[int, int, int]
    """Channels, height and width of an image."""
    prefixes: dict[int, str]
    """Number of first examples -> their sha256 in hexadecimal."""


KNOWN = (
    Known(
        "digits",
        "test",
        (1, 8, 8),
        {
            64: "46fffefe4234d28b35114819069e1049da018ab2daecd558afaebef1c3f50d7b",
            128: "69c4dd0f9c13895cd10f6a65049480269a5d7d222868c8c281f5472f0da02a3b",
            256: "67143ea7acbd9d874164b6133013073bef9a459505625592289126a5747e051b",
            450: "be30ab9704be796caf2c5c43b0a953cf6b7d2a8776d3f56bc080fbe8a4ac1676",
        },
    ),
    Known(
        "digits",
        "train",
        (1, 8, 8),
        {1211: "1d565e88897f018438b92e3a7a11ce7ba61684df6b31fe41f3ec853489d1dfe9"},
    ),
    Known(
        "cifar10",
        "test",
        (3, 32, 32),
        {
            64: "6e6a296a86625c83fec9860e554758c8dbb590daf62c384129b55341a4ee01e4",
            128: "76fa24a68868a463292a1e048e096613035bcdcec862cf66a5f2ed15ed8db074",
            256: "ce431f9151133e9736ebf204358392edbc00baa9052fe34ffab7f44f10e6c8df",
            512: "0e10bd91c4c4db3e0a82b30409526d400a2acc39e6aaf9b17918a1878444010b",
            1000: "6acc949e18cdb00182b54c26063bc4c2dd4e49a34765b525bc810e1f497a4ac5",
        },
    ),
    Known(
        "cifar10",
        "train",
        (3, 32, 32),
        {
            10000: "9a3162416f21bf6aafbaa7302c2d151930677370c019094e00b7acb08336768d",
            45000: "efa25089c1bc50bae3f34247d427793c140a72c0ae1278f3233b497da527ea28",
        },
    ),
    Known(
        "mnist",
        "test",
        (1, 28, 28),
        {
            64: "580b6e2a95beb29574162ab553e1e4ee0a7408ac18342c808821d7c08d09b001",
            128: "459cd52649c5a7b1f4336c08219fc694c5300be9ce9368b570efc3ca9e6d8c53",
            256: "db99926ca6cf7560b8fbf7cd1474176fa5b6c142e3ea53fcb455feb35941a6fb",
            512: "7fa7aa89af9410f1981ef0801861f4f1db840836e9f735472fe22b692e66f154",
            1000: "aff3ea11bb7a52bd06c397ea34988618879bb3bfc493dee7bc1c9ccaef5a2ff2",
            10000: "4718853ea946af656684509414983beff2e65cf414265c27966161014c003b8b",
        },
    ),
    Known(
        "mnist",
        "train",
        (1, 28, 28),
        {
            6000: "18203d1106a2d8261c2fbbf3164e6d9a9a633b85421b91c14454201725a667a7",
            10000: "a3d3f56f0cddf0211309102ae98faf6518687d20c8b4647c253353848bf793b8",
            54001: "ebe7d6308e0ae051f9b0482bb23fa2dd3e00fbb7897e4282edf89afc06872824",
        },
    ),
)

_NAMES = {sha256: known.dataset for known in KNOWN for sha256 in known.prefixes.values()}


def called(sha256: str, name: str) -> str:
    """The public data set whose first examples have this hash; `name` if there is none."""
    return _NAMES.get(sha256, name)


def expected(name: str, split: str, examples: int) -> str | None:
    """The hash of the first `examples` of a public data set; None if it is unknown."""
    return next(
        (k.prefixes.get(examples) for k in KNOWN if (k.dataset, k.split) == (name, split)), None
    )

"""Named sets of threats for each data set, and how a command's text selects threats."""

import tomllib
from pathlib import Path

from bench.errors import CrossfireError, reason
from bench.plugins.registry import plugins
from bench.threats.threat import NORMS, Threat


def _budget(*threats: str) -> tuple[Threat, ...]:
    return tuple(Threat.parse(text) for text in threats)


_CIFAR = {
    "croce": _budget("linf:8/255", "l2:0.5", "l1:12"),
    "maini": _budget("linf:0.03", "l2:0.5", "l1:12"),
    "madaan": _budget("linf:8/255", "l2:128/255", "l1:2000/255"),
}
_MNIST = {"maini": _budget("linf:0.3", "l2:2.0", "l1:10")}

BUDGETS: dict[str, dict[str, tuple[Threat, ...]]] = {
    "digits": {"digits": _budget("linf:0.25", "l2:0.9", "l1:3")},
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "svhn": _CIFAR,
    "mnist": _MNIST,
    "fashion-mnist": _MNIST,
    "imagenet": {"croce": _budget("linf:4/255", "l2:2", "l1:255")},
}
"""Budget sets per data set, the default first.

Sources: Croce & Hein 2022 (`croce`), Maini et al. 2020 (`maini`), Madaan et al. 2021 (`madaan`).
"""


def budget_set(dataset: str, name: str | None = None) -> tuple[Threat, ...]:
    """The threats of a data set's budget set; its default set when no name is given.

    A name may also be a plugin's (entry-point group `crossfire.budgets`: a list of threats as
    text), DATASET/SET, or a TOML file that has such a list under `threats`.

    Raises:
        CrossfireError: the data set has no budget set, or none of that name.
    """
    if name is not None and name.endswith(".toml"):
        return _from_file(Path(name))
    wanted = name
    if name is not None and "/" in name:
        dataset, _, wanted = name.partition("/")
    sets = BUDGETS.get(dataset, {})
    # Ours come first, so that no plugin can replace a budget set of the leaderboard.
    if wanted in sets:
        return sets[wanted]
    if name is not None and name in (offered := plugins("budgets")):
        return _parse(name, offered[name].load())
    if not sets:
        raise CrossfireError(
            f"data set '{dataset}' has no budget set; name threats: --threat linf:8/255,l2:0.5"
        )
    if wanted is None:
        return next(iter(sets.values()))
    raise CrossfireError(f"no budget set '{wanted}' for {dataset}; choose from {', '.join(sets)}")


def _from_file(path: Path) -> tuple[Threat, ...]:
    try:
        found = tomllib.loads(path.read_text()).get("threats")
    except (OSError, ValueError) as error:
        raise CrossfireError(f"cannot read budgets from {path} ({reason(error)})") from error
    return _parse(str(path), found)


def _parse(name: str, found: object) -> tuple[Threat, ...]:
    if not isinstance(found, list | tuple) or not found:
        raise CrossfireError(f'{name} lists no threats; write: threats = ["linf:8/255", "l2:0.5"]')
    return tuple(Threat.parse(str(text)) for text in found)


def resolve(text: str, dataset: str, budgets: str | None = None) -> tuple[Threat, ...]:
    """The threats that `union`, a norm's name, or a comma-separated list of threats denotes.

    Raises:
        CrossfireError: an entry is neither of these, or names a threat twice.
    """
    threats: list[Threat] = []
    for entry in text.split(","):
        entry = entry.strip()
        if entry == "union":
            threats.extend(budget_set(dataset, budgets))
        elif entry in NORMS:
            fitting = [t for t in budget_set(dataset, budgets) if t.norm == entry]
            if not fitting:
                raise CrossfireError(f"the budget set has no {entry}; write for example {entry}:1")
            threats.extend(fitting)
        else:
            threats.append(Threat.parse(entry))
    if len(set(threats)) != len(threats):
        raise CrossfireError(f"'{text}' names a threat twice")
    return tuple(threats)


_SHAPES: dict[tuple[int, ...], str] = {
    (1, 8, 8): "digits",
    (1, 28, 28): "mnist",
    (3, 32, 32): "cifar10",
}


def budget_dataset(dataset: str | None, shape: tuple[int, ...]) -> str:
    """The data set whose budget sets apply to images of shape (c, h, w): `dataset` itself if it has
    any, else the public data set with images of this shape."""
    return dataset if dataset in BUDGETS else guess_dataset(shape)


def guess_dataset(shape: tuple[int, ...]) -> str:
    """The data set whose budget sets apply to images of shape (c, h, w) of unknown origin."""
    return _SHAPES.get(shape, "imagenet" if min(shape[1:]) >= 64 else "custom")

"""From named options to a training run: recipes, threats, default folders, and a summary."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from bench.data import load
from bench.errors import CrossfireError
from bench.models import checkpoint
from bench.threats import BUDGETS, NORMS, Threat, budget_dataset, resolve
from bench.training.job import Job

RECIPES: dict[str, dict[str, Any]] = {
    "cpu": {"arch": "preactresnet18-w16", "examples": 10_000, "epochs": 15, "average": 0.995}
}
"""Recipes for every defense: `cpu` fits 32x32 colour images on a few cores."""

OPTIONS = ("recipe", "threat", "budgets", "out", "display")
"""The options of every training that are no fields of its job."""


def recipes(defense: type) -> dict[str, dict[str, Any]]:
    """Named values for the fields of a defense and of its job."""
    return RECIPES | getattr(defense, "recipes", {})


def check_fields(name: str, defense: type) -> None:
    """Check that no field of the defense that a user calls `name` hides an option of every
    training.

    Raises:
        CrossfireError: one has the name of such an option.
    """
    taken = {*OPTIONS, *(item.name for item in fields(Job) if "help" in item.metadata)}
    for item in fields(defense):
        if item.name in taken:
            flag = item.name.replace("_", "-")
            raise CrossfireError(
                f"the field '{item.name}' of {name} has the name of an option of every training, "
                f"--{flag}; give it another name"
            )


def threats_of(text: str, dataset: str, budgets: str | None = None) -> tuple[Threat, ...]:
    """The threats that `text` stands for; a user's own data get the budgets of their image shape.

    Raises:
        CrossfireError: `text` names no threats.
    """
    named = any(entry.strip() in ("union", *NORMS) for entry in text.split(","))
    if named and dataset not in BUDGETS:
        dataset = budget_dataset(dataset, load(dataset).test.shape)
    return resolve(text, dataset, budgets)


def default_folder(
    name: str, defense: type, threats: tuple[Threat, ...], settings: Mapping[str, Any]
) -> Path:
    """`runs/NAME`, followed by threat, data, architecture, seed and start where they are not the
    default."""
    parts = [name]
    dataset = settings.get("dataset", "digits")
    if threats != _default_threats(defense, dataset):
        parts += [f"{t.norm}" if len(threats) > 1 else str(t) for t in threats]
    defaults = {item.name: item.default for item in fields(Job) if item.default is not MISSING}
    for key in ("dataset", "arch", "seed"):
        value = settings.get(key, defaults[key])
        if value != defaults[key]:
            name = Path(str(value)).stem if key == "dataset" else Path(str(value)).name
            parts.append(name if key == "dataset" else f"{key[0]}{name}")
    if start := settings.get("start"):
        begun = Path(start)
        parts.append(f"from-{begun.stem if begun.is_file() else begun.name}")
    return Path("runs") / "-".join(parts).replace(":", "-").replace("/", "_")


def _default_threats(defense: type, dataset: str) -> tuple[Threat, ...] | None:
    """The threats of a defense if none are named; None for data without budgets."""
    try:
        return threats_of(default_threat(defense), dataset)
    except CrossfireError:
        return None


def default_threat(defense: type) -> str:
    """The default threat of a defense."""
    return getattr(defense, "default_threat", "linf")


def summary(folder: Path) -> str:
    """One line on the best checkpoint in a folder: its accuracies on held-out images, and its cost.

    Raises:
        CrossfireError: there is none.
    """
    found = checkpoint.metadata_of(folder)
    shown = ("clean", *found.threats, "union")
    held = ", ".join(
        f"{name} {value:.1%}" for name, value in found.heldout.items() if name in shown
    )
    return (
        f"{folder}: held out {held}; epoch {found.epoch} of {found.epochs}, "
        f"{found.forward_passes:,} forward passes, {found.seconds:.0f} s"
    )

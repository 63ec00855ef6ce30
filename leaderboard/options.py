"""Renamed options of defenses: records keep the old names, which are read as the new ones."""

from typing import Any

RENAMED: dict[str, dict[str, str]] = {
    "mat": {"lessons_on": "distill_on", "specialists_ask": "specialists_learn_from"},
    "teacher-student": {"ask": "response"},
}
"""Key of a defense -> old name of an option -> new name."""


def current(defense: str | None, config: dict[str, Any]) -> dict[str, Any]:
    """A record's or checkpoint's `config` with the present names of the options of `defense`."""
    renamed = RENAMED.get(defense or "", {})
    return {renamed.get(name, name): value for name, value in config.items()}

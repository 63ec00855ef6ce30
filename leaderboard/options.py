"""Options of defenses: those that name a teacher, and renamed ones, which records keep by their old
names."""

from typing import Any

TEACHERS = ("teacher", "natural_teacher")
"""Options that name a checkpoint, which may have a seed of its own."""

RENAMED: dict[str, dict[str, str]] = {
    "mat": {"lessons_on": "distill_on", "specialists_ask": "specialists_learn_from"},
    "teacher-student": {"ask": "response"},
}
"""Key of a defense -> old name of an option -> new name."""


def current(defense: str | None, config: dict[str, Any]) -> dict[str, Any]:
    """A record's or checkpoint's `config` with the present names of the options of `defense`."""
    renamed = RENAMED.get(defense or "", {})
    return {renamed.get(name, name): value for name, value in config.items()}

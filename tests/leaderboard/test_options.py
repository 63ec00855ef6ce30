"""Renamed options: a record with an old name is the same recipe as one with the new name."""

from pathlib import Path

import pytest

from bench.cli._fields import options
from bench.plugins.registry import get_defense
from leaderboard.options import RENAMED, current
from leaderboard.ranking import choices, recipe
from leaderboard.schema import Record
from leaderboard.store import Board
from tests.records import make_record

PUBLISHED = Path(__file__).parents[2] / "leaderboard" / "published"


def run(defense: str, seed: int, option: str) -> Record:
    return make_record(
        f"{defense}-{seed}", defense=defense, training={"seed": seed}, config={option: "own"}
    )


@pytest.mark.parametrize(
    ("defense", "old", "new"), [(key, *pair) for key, by in RENAMED.items() for pair in by.items()]
)
def test_runs_with_the_old_and_the_new_name_are_one_recipe(
    defense: str, old: str, new: str
) -> None:
    before, after = run(defense, 0, old), run(defense, 1, new)
    assert recipe(before) == recipe(after)
    assert choices(before) == choices(after)
    assert choices(before)[new] == "own"


def test_other_defenses_and_other_options_keep_their_names() -> None:
    assert current("other", {"ask": 1}) == {"ask": 1}
    assert current(None, {"lessons_on": 1}) == {"lessons_on": 1}
    assert current("mat", {"alpha": 1, "lessons_on": 2}) == {"alpha": 1, "distill_on": 2}


@pytest.mark.parametrize("defense", RENAMED)
def test_new_names_are_options_of_the_defense_and_old_ones_are_not(defense: str) -> None:
    names = {option.name for option in options(get_defense(defense))}
    assert set(RENAMED[defense].values()) <= names
    assert not RENAMED[defense].keys() & names


@pytest.mark.parametrize("defense", RENAMED)
def test_published_records_are_read_with_the_present_names(defense: str) -> None:
    records = [r for r in Board(PUBLISHED).records() if r.model.defense == defense]
    assert records
    names = {option.name for option in options(get_defense(defense))}
    for record in records:
        config = current(defense, record.model.config)
        assert config.keys() - {"training"} <= names

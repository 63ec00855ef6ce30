from typing import Any

from leaderboard.ranking import tables
from leaderboard.schema import Record
from tests.records import THREATS, make_record


def recipe(name: str, defense: str, *, seeds: int = 2, **config: Any) -> list[Record]:  # noqa: ANN401
    """The runs of one recipe, in folders named after it and their seeds."""
    threats = config.pop("threats", ["linf:8/255"])
    return [
        make_record(
            f"{name}-{seed}",
            seed=seed,
            defense=defense,
            config={**config, "training": {"seed": seed, "threats": threats}},
            training={"seed": seed, "threats": threats},
        )
        for seed in range(seeds)
    ]


SETTINGS = {"a": (0.5, False), "b": (0.25, False), "c": (0.5, True)}


def names(*recipes: list[Record]) -> set[str]:
    (table,) = tables([record for runs in recipes for record in runs])
    return {row.label for row in table.rows}


def test_the_only_row_of_a_defense_is_named_after_it() -> None:
    assert names(recipe("mine", "at"), recipe("other", "mat")) == {"at", "mat"}


def test_threats_are_named_where_they_are_not_the_tables() -> None:
    union = list(THREATS)
    assert names(recipe("a", "mat", threats=union), recipe("b", "mat")) == {"mat", "mat linf"}


def test_without_a_row_against_all_threats_the_first_threat_is_omitted() -> None:
    others = [recipe(norm, "at", threats=[t]) for norm, t in (("l2", "l2:0.5"), ("l1", "l1:12"))]
    assert names(recipe("at", "at"), *others) == {"at", "at l2", "at l1"}


def test_another_epsilon_is_named() -> None:
    other = recipe("b", "at", threats=["linf:4/255"])
    assert names(recipe("a", "at"), other) == {"at", "at linf 4/255"}


def test_variants_are_named_by_their_value() -> None:
    variants = [recipe(v, "teacher-student", variant=v) for v in ("rslad", "adaad")]
    assert names(*variants) == {"teacher-student rslad", "teacher-student adaad"}


def test_other_settings_are_named_where_most_rows_have_another_value() -> None:
    recipes = [
        recipe(name, "mat", alpha=alpha, learn_from_all=from_all)
        for name, (alpha, from_all) in SETTINGS.items()
    ]
    assert names(*recipes) == {"mat", "mat alpha 0.25", "mat learn-from-all true"}


def test_no_more_settings_are_named_than_needed() -> None:
    a = recipe("a", "at", variant="x", lr=0.1)
    assert names(a, recipe("b", "at", variant="y", lr=0.2)) == {"at x", "at y"}


def test_a_single_run_keeps_its_users_name() -> None:
    single = [make_record(name, defense="at", seed=k) for k, name in enumerate(("eps-4", "eps-8"))]
    assert names(single[:1], single[1:]) == {"at (eps-4)", "at (eps-8)"}
    assert names(single[:1], recipe("at", "at")) == {"at (eps-4)", "at"}


def test_a_single_run_is_named_without_its_seed() -> None:
    recipes = [recipe(name, "at", seeds=1) for name in ("at", "at-l2")]
    recipes[1][0].model.config["steps"] = 20
    assert names(*recipes) == {"at", "at (at-l2)"}


def test_checkpoints_last_are_named_as_such() -> None:
    best, last = recipe("a", "at"), recipe("b", "at")
    for record, tag in [(r, "best") for r in best] + [(r, "last") for r in last]:
        assert record.model.training is not None
        record.model.training["tag"] = tag
    assert names(best, last) == {"at best", "at last"}


def test_a_model_of_unknown_defense_is_called_by_its_name() -> None:
    assert names([make_record("robustbench:X", defense=None)]) == {"robustbench:X"}


def test_rows_of_one_table_never_have_the_same_name() -> None:
    single = recipe("at", "at", seeds=1, epochs=7)
    found = names(recipe("a", "at"), recipe("b", "at", threats=["l2:0.5"]), single)
    assert len(found) == 3

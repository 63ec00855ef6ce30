"""A column is the same in every row: the same images, and the same threats."""

from pathlib import Path

import pytest

from bench.campaign.definition.file import read
from bench.campaign.execution.plan import Plan, make
from bench.campaign.results.autoattack import against_autoattack
from bench.campaign.results.columns import column_of
from bench.campaign.results.figure import svg
from bench.campaign.results.records import Collected, SeedRecords
from bench.campaign.results.tables import accuracies, comparisons
from bench.report.listing import Listing
from leaderboard.flags import count
from leaderboard.schema import Record
from tests.records import make_record

TEXT = """
[[run]]
defense = "at"

[[run]]
defense = "mat"

[[evaluate]]
suites = ["pgd-100", "crossfire"]

[[compare]]
a = "mat"
b = "at"
suite = "crossfire"
"""
SPENT = {"forward_passes": 1_000_000, "backward_passes": 500_000, "seconds": 12.0}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "c.toml").write_text(TEXT)
    return make(read(tmp_path / "c.toml"))


def record(
    name: str, suite: str, threats: tuple[str, ...] = ("linf:0.25", "l2:0.9"), examples: int = 40
) -> Record:
    return make_record(
        name, suites=(suite,), threats=threats, examples=examples, dataset="digits", training=SPENT
    )


def first_seeds(**records: list[Record]) -> Collected:
    return {name: {0: SeedRecords({"best": some})} for name, some in records.items()}


def cells(listing: Listing, place: int = 0) -> dict[str, str]:
    return dict(zip(listing.head, listing.rows[place], strict=True))


def of_run(listing: Listing, name: str) -> dict[str, str]:
    (place,) = (k for k, row in enumerate(listing.rows) if row[0] == name)
    return cells(listing, place)


def test_a_suite_is_counted_over_the_images_that_it_attacked(plan: Plan) -> None:
    runs = first_seeds(
        **{
            name: [record(name, "pgd-100", examples=400), record(name, "crossfire", examples=100)]
            for name in ("at", "mat")
        }
    )
    large, small = runs["at"][0].records["best"]
    row = of_run(accuracies(runs), "at")
    assert row["clean, 400 images"] == f"{count(large.clean) / 4:.1f}"
    assert row["union pgd-100, 400 images"] == f"{count(large.union) / 4:.1f}"
    assert row["union crossfire, 100 images"] == f"{count(small.union):.1f}"
    gap = count(runs["mat"][0].records["best"][1].union) - count(small.union)
    assert cells(comparisons(plan, runs))["a − b"] == f"{gap:+.1f}"


def test_seeds_on_other_images_than_most_are_left_out() -> None:
    runs = first_seeds(at=[record("at", "pgd-100")], mat=[record("mat", "pgd-100")])
    runs["at"][1] = SeedRecords({"best": [record("at-1", "pgd-100", examples=80)]})
    column = column_of(runs, "best", "union", "pgd-100")
    assert column.examples == 40
    assert len(column.values(runs["at"])) == 1


def test_a_run_attacked_under_one_norm_has_no_union(plan: Plan) -> None:
    runs = first_seeds(
        at=[record("at", "crossfire", ("linf:0.25",))], mat=[record("mat", "crossfire")]
    )
    table = accuracies(runs)
    at, mat = of_run(table, "at"), of_run(table, "mat")
    assert at["linf crossfire"] != "" == at["l2 crossfire"]
    assert (at["union crossfire"], mat["union crossfire"] != "") == ("", True)
    assert comparisons(plan, runs).rows == []


def test_a_further_evaluation_of_one_run_changes_no_other(plan: Plan) -> None:
    runs = first_seeds(**{n: [record(n, "crossfire")] for n in ("at", "trades", "mat")})
    before, paired = accuracies(runs), comparisons(plan, runs).rows
    more = record("mat", "crossfire", ("linf:0.25", "l2:0.9", "l1:3"))
    runs["mat"][0].records["best"].append(more)
    after = accuracies(runs)
    for name in ("at", "trades"):
        assert of_run(after, name) == of_run(before, name) | {"l1 crossfire": ""}
    assert of_run(after, "mat")["l1 crossfire"] != ""
    assert paired
    assert comparisons(plan, runs).rows == paired


def test_a_column_is_under_the_budget_that_most_seeds_have() -> None:
    budgets = {"at": "0.25", "mat": "0.1", "trades": "0.25"}
    runs = first_seeds(**{n: [record(n, "pgd-100", (f"linf:{b}",))] for n, b in budgets.items()})
    values = {name: of_run(accuracies(runs), name)["linf pgd-100"] for name in runs}
    assert [name for name, value in values.items() if value] == ["at", "trades"]


def test_a_union_is_of_several_norms_even_if_most_runs_have_one() -> None:
    one = {name: [record(name, "pgd-100", ("linf:0.25",))] for name in ("at", "trades")}
    table = accuracies(first_seeds(**one, mat=[record("mat", "pgd-100")]))
    at, mat = of_run(table, "at"), of_run(table, "mat")
    assert at["linf pgd-100"] != "" == at["union pgd-100"]
    assert mat["union pgd-100"] != ""


def test_a_pair_is_compared_on_its_own_images_whatever_others_have(plan: Plan) -> None:
    pair = {name: [record(name, "crossfire", examples=400)] for name in ("at", "mat")}
    others = {f"x{k}": [record(f"x{k}", "crossfire", examples=100)] for k in range(3)}
    assert comparisons(plan, first_seeds(**pair, **others)).rows
    assert comparisons(plan, first_seeds(at=pair["at"], **others)).rows == []


def test_threats_of_several_evaluations_form_one_union() -> None:
    parts = [record("at", "pgd-100", (threat,)) for threat in ("linf:0.25", "l2:0.9")]
    runs = first_seeds(at=parts)
    both = int(parts[0].union, 16) & int(parts[1].union, 16)
    assert of_run(accuracies(runs), "at")["union pgd-100"] == f"{both.bit_count() / 0.4:.1f}"


def test_a_campaign_of_last_checkpoints_has_all_tables_of_them(plan: Plan) -> None:
    best = first_seeds(at=[record("at", "crossfire")], mat=[record("mat", "crossfire")])
    last: Collected = {
        name: {0: SeedRecords({"last": seeds[0].records["best"]})} for name, seeds in best.items()
    }
    ours, theirs = accuracies(last), accuracies(best)
    assert ours.rows == theirs.rows
    assert ours.note == theirs.note.replace("best", "last")
    assert ours.head[3:6] == tuple(f"{u} crossfire, last" for u in ("linf", "l2", "union"))
    assert comparisons(plan, last).rows == comparisons(plan, best).rows != []
    assert svg(last, {}).count("mat") == svg(best, {}).count("mat") > 1


def test_a_model_that_is_only_evaluated_fits_campaigns_of_last_and_of_best(plan: Plan) -> None:
    two = {name: [record(name, "crossfire")] for name in ("at", "mat")}
    model: Collected = {"net": {0: SeedRecords({"only": [record("net", "crossfire")]})}}
    for tag, end in (("best", ""), ("last", ", last")):
        trained: Collected = {name: {0: SeedRecords({tag: some})} for name, some in two.items()}
        table = accuracies(trained | model)
        assert table.head == accuracies(trained).head
        assert of_run(table, "net")[f"linf crossfire{end}"] != ""
        assert comparisons(plan, trained | model).rows != []
        assert svg(trained | model, {}).count("net") > 1
    runs: Collected = {
        name: {0: SeedRecords(dict.fromkeys(("best", "last"), some))} for name, some in two.items()
    }
    assert of_run(accuracies(runs | model), "net")["union crossfire, last"] != ""
    assert accuracies(model).head[3] == "linf crossfire"


def test_autoattack_is_compared_on_the_same_images_and_threats_only() -> None:
    theirs = record("at", "autoattack", ("linf:0.25",))
    same = against_autoattack(first_seeds(at=[theirs, record("at", "crossfire")]))
    assert same is not None
    assert cells(same)["linf"] == cells(same)["union"]
    other = record("at", "crossfire", examples=80)
    assert against_autoattack(first_seeds(at=[theirs, other])) is None


def test_autoattack_is_in_the_first_table_where_it_has_none_of_its_own() -> None:
    for suite, examples, place in (("pgd-100", 40, -1), ("crossfire", 80, 0)):
        runs = first_seeds(at=[record("at", "autoattack"), record("at", suite, examples=examples)])
        unions = [name for name in accuracies(runs).head if name.startswith("union ")]
        assert unions.pop(place).startswith("union autoattack")
        assert unions[0].startswith(f"union {suite}")


def test_autoattack_is_in_the_first_table_while_crossfire_is_under_way() -> None:
    runs = first_seeds(**{n: [record(n, "autoattack")] for n in ("at", "mat")})
    runs["mat"][0].records["best"].append(record("mat", "crossfire"))
    assert against_autoattack(runs) is not None
    row = of_run(accuracies(runs), "at")
    assert list(row)[-4:-2] == ["l2 crossfire", "union crossfire"]
    assert row["union autoattack"] != "" == row["union crossfire"]
    runs["at"][0].records["best"].append(record("at", "crossfire"))
    assert "union autoattack" not in accuracies(runs).head


def test_autoattack_on_last_checkpoints_is_in_the_first_table() -> None:
    both = [record("at", "autoattack"), record("at", "crossfire")]
    runs: Collected = {"at": {0: SeedRecords({"best": both, "last": both[:1]})}}
    assert "union autoattack, last" in accuracies(runs).head
    assert "union autoattack" not in accuracies(runs).head


def test_runs_are_ordered_by_autoattack_rather_than_by_pgd() -> None:
    rates = {"masked": (0.1, 0.8), "at": (0.45, 0.5)}
    runs = first_seeds(
        **{
            name: [
                make_record(name, suites=(suite,), threats=("linf:0.25",), accuracies=(0.9, rate))
                for suite, rate in zip(("autoattack", "pgd-100"), pair, strict=True)
            ]
            for name, pair in rates.items()
        }
    )
    assert [row[0] for row in accuracies(runs).rows] == ["at", "masked"]

from bench.report import render
from leaderboard.flags import conjunction, count
from leaderboard.ranking import tables
from leaderboard.schema import UNION_ONLY, Finding
from tests.records import make_record

ONLY = Finding(UNION_ONLY, "info", "not attacked under the next", None)
FLAG = Finding("A8", "flag", "Square breaks 3 examples that APGD left", 3.0)


def lines(*records: object, compact: bool = True) -> list[str]:
    return render(tables(records), "markdown", compact=compact).splitlines()  # type: ignore[arg-type]


def test_a_recipe_is_one_line_and_a_threat_one_column() -> None:
    record = make_record("at", examples=100, suites=("pgd-100", "autoattack"))
    head, _, row = [line for line in lines(record) if line.startswith("|")]
    assert head == "| rank | defense | clean | ℓ∞ 8/255 | ℓ2 0.5 | ℓ1 12 | union | runs |"
    both = [record.measured[f"l2:0.5/{suite}"] for suite in ("pgd-100", "autoattack")]
    assert row.split(" | ")[4] == f"{count(conjunction([record.clean, *both])):.1f}"


def test_threats_are_no_columns_where_only_the_union_counts() -> None:
    text = lines(make_record("at", findings=(ONLY,)))
    assert "| rank | defense | clean | union | runs |" in text
    assert "for the union of linf 8/255, l2 0.5, l1 12 with its" in text[2]


def test_networks_are_a_column_only_where_they_differ() -> None:
    same = lines(make_record("a"), make_record("b"))
    assert "preactresnet18; % correct" in same[2]
    several = lines(make_record("a"), make_record("b", arch="cnn"))
    assert "| rank | defense | arch | clean |" in several[4]


def test_recipes_without_robust_examples_are_named_below_the_table() -> None:
    accuracies = {"mat": (0.8, 0.5, 0.5, 0.5), "at": (0.8, 0.5, 0.5, 0), "sat": (0.8, 0.5, 0.5, 0)}
    records = [make_record(name, accuracies=shares) for name, shares in accuracies.items()]
    text = lines(*records)
    assert len([line for line in text if line.startswith("|")]) == 3
    assert "2 more with 0.0 % under the union: at, sat." in text
    assert len([line for line in lines(*records[:2]) if line.startswith("|")]) == 4
    assert len([line for line in lines(*records[1:]) if line.startswith("|")]) == 4


def test_flagged_rows_are_named_below_the_table() -> None:
    text = lines(make_record("at"), make_record("masked", findings=(FLAG,)))
    assert "Not ranked, because an audit flag is open: masked (A8)." in text
    assert not [line for line in text if line.startswith("|") and "masked" in line]

import pytest
from rich.cells import cell_len

from bench.report import render
from bench.report.listing import Listing
from bench.report.listing import render as render_listings
from bench.report.listings import changes, comparison, with_published
from leaderboard.changes import changes as find_changes
from leaderboard.frame import Cells, cells
from leaderboard.published import matching
from leaderboard.ranking import Row, tables
from leaderboard.schema import UNION_ONLY, Finding
from tests.records import make_record

ONLY = Finding(UNION_ONLY, "info", "not attacked under the next", None)


def rows(**options: object) -> list[Cells]:
    return cells(tables([make_record("ours", examples=500, **options)])[0])  # type: ignore[arg-type]


def test_a_comparison_says_who_is_better_in_each_column() -> None:
    a = make_record("a", examples=400, accuracies=(0.9, 0.8, 0.5, 0.5))
    b = make_record("b", examples=400, accuracies=(0.9, 0.2, 0.5, 0.5))
    listing = comparison(Row((a,), label="a"), Row((b,), label="b"))
    better = {row[0]: row[-1] for row in listing.rows}
    assert better["linf:8/255/pgd-100"] == "A"
    assert better["clean"] == "neither"
    assert f"A = a ({a.id[:8]}, bf16), B = b ({b.id[:8]}, bf16)" == listing.title


def test_only_the_union_is_compared_where_only_it_counts() -> None:
    a, b = (make_record(name, findings=(ONLY,)) for name in "ab")
    listing = comparison(Row((a,), label="a"), Row((b,), label="b"))
    assert [row[0] for row in listing.rows] == ["clean", "union"]
    assert listing.note.endswith("Only the union of linf 8/255, l2 0.5, l1 12 counts.")


def test_names_are_no_html_in_the_title_of_a_comparison() -> None:
    row = Row((make_record("<img>"),), label="<img>")
    text = render_listings([comparison(row, row)], "markdown")
    assert text.startswith("### A = &lt;img>")
    assert "<" not in text


@pytest.mark.parametrize("name", ["[red]at", "a:100:b", "at\\"])
def test_the_terminal_shows_cells_as_they_are(name: str) -> None:
    text = render_listings([Listing("title", "note", (name,), [(name,)])], "terminal")
    assert text.split().count(name) == 2


@pytest.mark.parametrize("width", [20, 40, 60, 80])
@pytest.mark.parametrize("numbers", [0, 3, 12])
def test_no_width_of_the_terminal_cuts_a_cell_or_breaks_a_short_word(
    width: int, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    words = ("at", "d" * 18, "bbb bbb", "名" * 30, "c" * 90, *["0.25"] * numbers)
    listing = Listing("", "", ("run", *["heading"] * (len(words) - 1)), [words])
    text = render_listings([listing], "terminal")
    assert [text.count(letter) for letter in "bc名"] == [6, 90, 30]
    assert text.split().count("0.25") == numbers
    assert {"d" * 18, "bbb", "heading"} <= set(text.split())
    assert max(map(cell_len, text.splitlines())) <= max(width, 3 + 18 + 2 * 2)


def test_columns_that_do_not_fit_follow_under_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "25")
    head = ("run", "clean", "union crossfire", "passes")
    text = render_listings([Listing("", "", head, [("at", "67.1", "10.6", "6,470 k")])], "terminal")
    assert [line.split() for line in text.splitlines() if line.strip(" ─")] == [
        ["union"],
        ["run", "clean", "crossfire"],
        ["at", "67.1", "10.6"],
        ["run", "passes"],
        ["at", "6,470", "k"],
    ]


def test_changes_name_table_row_ranks_and_reason() -> None:
    board = [make_record("a")]
    listing = changes(find_changes(board, [*board, make_record("b")]), "release 1", "now")
    assert listing.title == "release 1 -> now"
    assert ("b", "preactresnet18") in [row[1:3] for row in listing.rows]
    assert changes([], "1", "2").note == "no row changed"


def test_published_figures_stand_beside_ours_only_at_the_same_epsilon() -> None:
    names = [listing.title for listing in with_published(rows())]
    assert names == [f"cifar10, {t}: with published figures" for t in ("linf:8/255", "l2:0.5")]
    assert with_published(rows(threats=("linf:0.03",))) == []
    assert with_published(rows(dataset="digits")) == []


def test_published_figures_are_marked_and_ordered_with_ours() -> None:
    listing = with_published(rows())[0]
    assert "not measured here" in listing.note
    assert len(listing.rows) == len(matching("cifar10", "linf:8/255")) + 1
    robust = [float(row[3]) for row in listing.rows]
    assert robust == sorted(robust, reverse=True)
    assert [row[1] for row in listing.rows if row[-1].startswith("here")] == [
        "ours\npreactresnet18"
    ]


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_published_figures_stand_beside_no_row_of_which_only_the_union_counts(form: str) -> None:
    board = tables([make_record("ours", findings=(ONLY,))])
    assert "Wang2023Better_WRN-70-16" not in render(board, form, published=True)


def test_ours_counts_under_its_strongest_suite() -> None:
    record = make_record("ours", examples=500, suites=("pgd-100", "autoattack"))
    ours = cells(tables([record])[0])
    row = next(row for row in with_published(ours)[0].rows if row[-1].startswith("here"))
    lowest = min(("pgd-100", "autoattack"), key=lambda suite: float(ours[0][f"linf:8/255/{suite}"]))
    assert row[4] == lowest


@pytest.mark.parametrize("form", ["terminal", "markdown", "csv", "json"])
def test_every_format_can_hold_published_figures(form: str) -> None:
    board = tables([make_record("ours")])
    assert "Wang2023Better_WRN-70-16" in render(board, form, published=True)
    assert "Wang2023Better_WRN-70-16" not in render(board, form)


def test_lists_align_numbers_to_the_right_and_may_be_empty() -> None:
    listing = Listing("title", "note", ("name", "number"), [("a|b\nc", "1.0"), ("b", "–")])
    text = render_listings([listing], "markdown")
    assert "| :-- | --: |" in text
    assert "| a\\|b<br>c | 1.0 |" in text
    assert render_listings([Listing("title", "note", ("a",), [])], "terminal") == "title\nnote"

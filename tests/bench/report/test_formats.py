import csv
import io
import json

import pytest
from rich.console import Console

from bench.report import FORMATS, charts, render, terminal
from bench.report.combined import accuracies
from bench.report.listings import with_published
from bench.report.wording import percent
from leaderboard.frame import Cells, cells, measured
from leaderboard.ranking import Table, tables
from leaderboard.schema import UNION_ONLY, Finding
from tests.records import make_record

FLAG = Finding("A8", "flag", "Square breaks 3 examples that APGD left", 3.0)


def board(suites: tuple[str, ...] = ("pgd-100",)) -> list[Table]:
    names = {"standard": (0.95, 0, 0, 0), "at": (0.8, 0.5, 0.55, 0.1), "mat": (0.8, 0.5, 0.6, 0.5)}
    records = [
        make_record(name, accuracies=a, examples=500, suites=suites, arch="preactresnet18-w16")
        for name, a in names.items()
    ]
    open_flag = make_record("masked", examples=500, suites=suites, findings=(FLAG,))
    return tables([*records, open_flag])


def in_terminal(table: Table, width: int = 80, top: int | None = None) -> str:
    console = Console(width=width, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal.render(table, width, top))
    return capture.get()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("suites", [("pgd-100",), ("pgd-100", "autoattack")])
def test_the_terminal_table_fits_and_cuts_no_number(suites: tuple[str, ...], width: int) -> None:
    (table,) = board(suites)
    text = in_terminal(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row, own in zip(cells(table), table.rows, strict=True):
        numbers = [row["clean"], row["union"], accuracies(own, row)["l1:12"]]
        if width == 120:
            numbers = [row[column] for column in measured(row)]
        for number in numbers:
            assert f" {100 * number:.1f} " in text
        assert row["weights"][:8] in text


@pytest.mark.parametrize("suite", ["l2l:runs/l2l", "attacks/mine.py:mine"])
def test_the_names_of_suites_may_have_slashes(suite: str) -> None:
    board = tables([make_record("ours", examples=500, suites=("pgd-100", suite))])
    whole = f"pgd-100 and {suite}; union of linf 8/255, l2 0.5, l1 12;"
    assert whole in " ".join(render(board, "terminal").split())
    assert whole in render(board, "markdown")
    threats = {row.get("published_threat") for table in _json(board) for row in table}
    assert threats == {None, "linf:8/255", "l2:0.5"}
    ours = next(row for row in with_published(cells(board[0]))[0].rows if "here" in row[-1])
    assert ours[4] in ("pgd-100", suite)
    assert ">ℓ∞ 8/255<" in charts.ranking(cells(board[0]))
    assert suite not in charts.ranking(cells(board[0]))


def _json(board: list[Table]) -> list[list[Cells]]:
    found: list[list[Cells]] = json.loads(render(board, "json", published=True))
    return found


@pytest.mark.parametrize("width", [80, 120])
def test_a_row_takes_two_lines(width: int) -> None:
    (table,) = board(("pgd-100", "autoattack"))
    lines = in_terminal(table, width).splitlines()
    rule = next(k for k, line in enumerate(lines) if "───" in line)
    assert [line.split()[1] for line in lines[rule + 1 : rule + 7 : 2]] == ["mat", "at", "standard"]


def test_hashes_are_left_out_where_a_name_needs_the_room() -> None:
    name = "a-name-of-thirty-seven-characters-xyz"
    (table,) = tables([make_record(name)])
    weights = cells(table)[0]["weights"][:8]
    narrow, wide = in_terminal(table), in_terminal(table, 120)
    assert name in narrow.split()
    assert weights not in narrow
    assert weights in wide


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_breaks_no_name_inside_a_word(width: int) -> None:
    names = ("teacher-student", "at")
    records = [
        make_record(
            f"{name}-{variant}-{seed}",
            defense=name,
            seed=seed,
            arch="preactresnet10-w16",
            suites=("pgd-100", "autoattack"),
            training={"seed": seed},
            config={"variant": variant},
        )
        for name in names
        for variant in ("rslad", "adaad")
        for seed in range(3)
    ]
    text = in_terminal(tables(records)[0], width)
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    for word in ("teacher-student", "rslad", "adaad", "preactresnet10-w16"):
        assert word in words
    assert not [word for word in words if "…" in word]


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_a_report_says_what_its_ranks_mean(form: str) -> None:
    assert "at 5 % for the whole table by Holm" in " ".join(render(board(), form).split())


def test_the_terminal_says_what_was_measured_how_and_on_what() -> None:
    (table,) = board()
    text = in_terminal(table)
    assert f"cifar10 test · 500 examples · protocol v1 {table.protocol.sha256[:8]}" in text
    assert "pgd-100; union of linf 8/255, l2 0.5, l1 12" in text


@pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
def test_a_report_says_when_nothing_but_the_union_was_measured(form: str) -> None:
    skipped = make_record("at", findings=(Finding(UNION_ONLY, "info", "some were skipped", None),))
    note = "columns of single threats mean nothing"
    assert note in " ".join(render(tables([skipped]), form).split())
    whole = make_record("at", findings=(Finding("A16", "info", "a suite ran more", None),))
    assert note not in " ".join(render(tables([whole]), form).split())


@pytest.mark.parametrize(
    ("form", "word"), [("terminal", "bf16"), ("markdown", "| bf16 |"), ("html", "· bf16</span>")]
)
def test_a_report_names_arithmetics_where_a_table_holds_more_than_one(form: str, word: str) -> None:
    fast, strict = make_record("a"), make_record("b", precision="fp32")
    both = render(tables([fast, strict]), form)
    assert word in both
    assert word.replace("bf16", "fp32") in both
    assert word not in render(tables([fast]), form)


def test_a_flagged_row_is_shown_apart_with_its_reason() -> None:
    for text in (in_terminal(board()[0]), render(board(), "markdown")):
        ranked, _, apart = text.partition("Not ranked")
        assert "masked" not in ranked
        assert "masked, A8: Square breaks 3 examples that APGD left" in apart


def test_the_terminal_shows_the_top_and_says_how_many_more() -> None:
    (table,) = tables([make_record(f"m{i}") for i in range(5)])
    text = in_terminal(table, top=2)
    assert "… 3 more rows" in text
    assert sum(f"m{i} " in text for i in range(5)) == 2


@pytest.mark.parametrize("name", ["[red]at|x", "a:100:b", "at\\"])
def test_the_terminal_shows_names_as_they_are(name: str) -> None:
    (table,) = tables([make_record(name, arch=name)])
    words = in_terminal(table).split()
    assert words.count(name) == 2


@pytest.mark.parametrize(
    ("name", "shown"),
    [("[red]at|x", "\\[red]at\\|x"), ("\\[at](x)", "\\\\\\[at](x)"), ("a\\|t", "a\\\\\\|t")],
)
def test_names_are_never_read_as_columns_or_links(name: str, shown: str) -> None:
    assert f"| {shown} |" in render(tables([make_record(name)]), "markdown")


def test_markdown_holds_every_promised_column() -> None:
    head, _, *body = [line for line in render(board(), "markdown").splitlines() if line[:1] == "|"]
    names = [cell.strip() for cell in head.strip("|").split("|")]
    assert names == [
        *("rank", "defense", "arch", "clean"),
        *("pgd-100 linf 8/255", "pgd-100 l2 0.5", "pgd-100 l1 12"),
        *("union", "n", "protocol", "weights", "remarks"),
    ]
    assert all(line.count("|") == head.count("|") for line in body)


def test_intervals_are_rounded_outwards() -> None:
    row = make_record(examples=8, accuracies=(1, 1, 1, 1))
    assert "100.0 (67.5–100.0)" in render(tables([row]), "markdown")


def test_csv_and_json_hold_the_same_exact_rows() -> None:
    both = board() + tables([make_record("other", threats=("l2:0.5",), dataset="svhn")])
    parsed = list(csv.DictReader(io.StringIO(render(both, "csv"))))
    rows = [row for table in both for row in cells(table)]
    assert [row["weights"] for row in parsed] == [row["weights"] for row in rows]
    assert [float(row["union"]) for row in parsed] == [row["union"] for row in rows]
    assert parsed[-1]["l1:12/pgd-100"] == ""
    assert json.loads(render(both, "json")) == list(map(cells, both))


@pytest.mark.parametrize("form", FORMATS)
def test_reports_do_not_depend_on_the_order_of_records(form: str) -> None:
    records = [make_record(f"m{i}", seed=i) for i in range(6)]
    assert render(tables(records), form) == render(tables(records[::-1]), form)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="no format 'pdf'"):
        render([], "pdf")


@pytest.mark.parametrize("width", [80, 40])
def test_a_narrow_terminal_always_shows_the_union(width: int) -> None:
    name = "robustbench:Rebuffi2021Fixing_70_16_cutmix_extra_and_more"
    (table,) = tables([make_record(name, suites=("pgd-100", "crossfire"))])
    text = in_terminal(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert percent(cells(table)[0]["union"]) in text
    assert "union" in text


@pytest.mark.parametrize("compact", [False, True])
def test_names_are_no_html_in_markdown(compact: bool) -> None:
    flagged = make_record("<img src=x>", arch="<b>", dataset="<i>", findings=(FLAG,))
    for record in (make_record("<img src=x>"), flagged):
        text = render(tables([record]), "markdown", compact=compact)
        assert "&lt;img src=x>" in text
        assert "<" not in text

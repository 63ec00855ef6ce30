from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.report import charts
from leaderboard.frame import Cells, cells, measured
from leaderboard.ranking import tables
from leaderboard.schema import UNION_ONLY, Finding
from tests.records import make_record

SVG = "{http://www.w3.org/2000/svg}"
COST = {"forward_passes": 10**6, "backward_passes": 10**6, "seconds": 60.0}


def rows(*names: str, training: dict[str, Any] | None = None) -> list[Cells]:
    return cells(tables([make_record(name, examples=200, training=training) for name in names])[0])


def elements(chart: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(chart).iter(f"{SVG}{name}"))


def words(chart: str) -> list[str]:
    return [text.text or "" for text in elements(chart, "text")]


def dots(chart: str) -> set[str]:
    cards = {group.attrib.get("data-card") for group in elements(chart, "g")}
    return {card for card in cards if card}


def test_the_cost_chart_has_a_point_for_each_row_whose_cost_is_known() -> None:
    chart = charts.cost(rows("a", "b", training=COST))
    assert chart is not None
    assert len(dots(chart)) == 2
    assert {"1", "2"} <= set(words(chart))
    assert charts.cost(rows("a")) is None


def test_numbers_of_neighbouring_points_do_not_cover_each_other() -> None:
    chart = charts.cost(rows(*"abcdefgh", training=COST))
    assert chart is not None
    numbers = [text for text in elements(chart, "text") if "12px" not in text.attrib["style"]]
    places = [(float(text.attrib["x"]), float(text.attrib["y"])) for text in numbers]
    assert len(places) == 8
    for (x, y), (other_x, other_y) in combinations(places, 2):
        assert abs(x - other_x) >= 7 or abs(y - other_y) >= 10


def test_the_cost_chart_as_a_file_lists_the_names_of_its_numbers() -> None:
    named, plain = (charts.cost(rows("first", training=COST), names) for names in (True, False))
    assert named is not None
    assert plain is not None
    assert "1  first" in words(named)
    assert not any("first" in text for text in words(plain))


def test_the_ranking_shows_every_number_to_scale() -> None:
    table = rows("a", "b")
    chart = charts.ranking(table)
    ends = {text.text: float(text.attrib["x"]) for text in elements(chart, "text")}
    zero, whole = ends["0 %"], ends["100 %"]
    shown = [(float(use.attrib["x"]) - zero) / (whole - zero) for use in elements(chart, "use")]
    expected = [row[name] for name in measured(table[0]) for row in table]
    assert shown[: len(expected)] == pytest.approx(expected, abs=0.001)


BUDGETS = ("linf:0.2", "linf:0.05", "linf:4/255", "l2:0.5", "l2:1")


def several_budgets(*names: str, **settings: Any) -> list[Cells]:  # noqa: ANN401
    shares = (0.9, 0.3, 0.6, 0.8, 0.6, 0.4)
    budgets = {"examples": 200, "accuracies": shares, "threats": BUDGETS}
    return cells(tables([make_record(name, **budgets, **settings) for name in names])[0])


def test_three_budgets_of_a_norm_make_a_chart_of_accuracy_against_epsilon() -> None:
    table = several_budgets(*"abcdefg")
    chart = charts.curve(table, "linf")
    assert chart is not None
    zero, whole = (
        float(text.attrib["y"])
        for name in ("0 %", "100 %")
        for text in elements(chart, "text")
        if text.text == name
    )
    dots = [(float(dot.attrib["x"]), float(dot.attrib["y"])) for dot in elements(chart, "use")[:4]]
    (left, top), (right, _) = dots[0], dots[-1]
    epsilons = [0.2 * (x - left) / (right - left) for x, _ in dots]
    assert epsilons == pytest.approx([0, 4 / 255, 0.05, 0.2], abs=0.001)
    names = ("clean", *(f"{threat}/pgd-100" for threat in ("linf:4/255", "linf:0.05", "linf:0.2")))
    losses = [(y - top) / (zero - whole) for _, y in dots]
    assert losses == pytest.approx([table[0]["clean"] - table[0][name] for name in names], abs=1e-3)
    drawn = [text for text in words(chart) if text[-1:] in "abcdefg"]
    assert [name[-1] for name in drawn] == [row["defense"] for row in table[:5]]


def test_there_is_no_such_chart_of_two_budgets_or_where_only_the_union_counts() -> None:
    table = several_budgets("a")
    assert [name.partition("-curve-")[2] for name in charts.drawn(table)] == ["", "linf.svg"]
    assert charts.curve(table, "l2") is None
    only = Finding(UNION_ONLY, "info", "not attacked under the next", None)
    assert charts.curve(several_budgets("a", findings=(only,)), "linf") is None


def test_the_ranking_shows_no_threats_where_only_the_union_counts() -> None:
    only = Finding(UNION_ONLY, "info", "not attacked under the next", None)
    chart = charts.ranking(several_budgets("a", findings=(only,)))
    assert {"clean", "union"} <= set(words(chart))
    assert "ℓ" not in chart


def test_a_screen_reader_is_told_the_numbers() -> None:
    (row,) = table = rows("at", training=COST)
    chart = charts.cost(table)
    assert chart is not None
    root = ElementTree.fromstring(chart)
    assert root.attrib["role"] == "img"
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert root[1].text == f"1 at: {100 * row['union']:.1f} %, 2,000,000"


def test_colours_are_the_readers_in_light_and_dark() -> None:
    drawn = charts.drawn(rows("a", training=COST))
    assert [name.rpartition("-")[2] for name in drawn] == ["ranking.svg", "cost.svg"]
    for chart in drawn.values():
        ElementTree.fromstring(chart)
        assert "prefers-color-scheme: dark" in chart
        assert "#" not in chart.partition("</style>")[2].replace('href="#', "").replace("url(#", "")


def test_the_same_rows_give_the_same_bytes() -> None:
    assert charts.drawn(rows("a", training=COST)) == charts.drawn(rows("a", training=COST))


def test_files_have_names_that_any_file_system_takes() -> None:
    row = {**rows("a")[0], "dataset": "npz:my data/cifar10.npz"}
    (name,) = charts.drawn([row])
    assert name.startswith("npz-my-data-cifar10.npz-")


@pytest.mark.parametrize("name", ["n" * 200, "模型" * 100, "😀 नमस्ते"])
def test_long_names_are_cut_and_any_letters_are_drawn_without_a_warning(name: str) -> None:
    (row,) = table = several_budgets(name, training=COST)
    drawn = charts.drawn(table)
    assert len(drawn) == 3
    for chart in drawn.values():
        (shown,) = (word for word in words(chart) if name[:6] in word)
        assert len(shown) <= 51
        assert shown.endswith("…" if len(name) > 48 else name)
        assert row["defense"] in chart.partition("</desc>")[0]


@pytest.mark.parametrize("name", ["", "<script>", 'a"b', "a&b", "$\\alpha$", "at-0.034 (0.0625)"])
def test_names_are_shown_as_they_are(name: str) -> None:
    chart = charts.ranking(rows(name))
    assert any(text.endswith(f"  {name}") for text in words(chart))

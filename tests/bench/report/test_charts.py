import itertools
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.report import charts
from bench.report.evidence import Curve, Point
from leaderboard.frame import Cells, cells
from leaderboard.ranking import tables
from leaderboard.statistics import wilson
from tests.records import make_record

SVG = "{http://www.w3.org/2000/svg}"
COST = {"forward_passes": 10**6, "backward_passes": 10**6, "seconds": 60.0}


def rows(*names: str, training: dict[str, Any] | None = None) -> list[Cells]:
    return cells(tables([make_record(name, examples=200, training=training) for name in names])[0])


def elements(chart: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(chart).iter(f"{SVG}{name}"))


def test_the_curve_is_drawn_to_scale() -> None:
    points = [Point(0.0, 1.0, wilson(10, 10)), Point(0.5, 0.0, wilson(0, 10))]
    chart = charts.epsilon_curve(Curve("l2", [(0.0, 1.0), (0.5, 0.0)], points))
    top, bottom = (float(circle.attrib["cy"]) for circle in elements(chart, "circle"))
    assert (top, bottom) == (26, 146)
    assert (
        elements(chart, "title")[0].text
        == "Accuracy against l2 epsilon: 100.0 % at 0, 0.0 % at 0.5"
    )


def test_the_cost_chart_has_a_point_for_each_row_whose_cost_is_known() -> None:
    chart = charts.cost(rows("a", "b", training=COST))
    assert chart is not None
    assert len(elements(chart, "circle")) == 2
    assert charts.cost(rows("a")) is None


def test_names_of_neighbouring_points_do_not_cover_each_other() -> None:
    chart = charts.cost(rows(*"abcdef", training=COST))
    assert chart is not None
    names = [text for text in elements(chart, "text") if "dot-name" in text.attrib["class"]]
    heights = sorted(float(text.attrib["y"]) for text in names)
    assert min(b - a for a, b in itertools.pairwise(heights)) > 12


def test_the_ranking_has_a_point_and_an_interval_for_every_number() -> None:
    chart = charts.ranking(rows("a", "b"))
    assert (
        len([line for line in elements(chart, "line") if "whisker" in line.attrib["class"]]) == 10
    )
    assert len(elements(chart, "circle")) == 15


def test_files_bring_their_own_colours_for_light_and_dark() -> None:
    drawn = charts.drawn(rows("a", training=COST))
    assert [name.rpartition("-")[2] for name in drawn] == ["ranking.svg", "cost.svg"]
    for chart in drawn.values():
        ElementTree.fromstring(chart)
        assert "prefers-color-scheme: dark" in chart


def test_files_have_names_that_any_file_system_takes() -> None:
    row = {**rows("a")[0], "dataset": "npz:my data/cifar10.npz"}
    (name,) = charts.drawn([row])
    assert name.startswith("npz-my-data-cifar10.npz-")


@pytest.mark.parametrize("name", ["<script>", 'a"b', "a&b"])
def test_names_are_escaped(name: str) -> None:
    ElementTree.fromstring(charts.ranking(rows(name)))

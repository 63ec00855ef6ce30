from bench.report.curve import drawing
from bench.report.evidence import Curve, Point
from leaderboard.statistics import wilson


def test_the_curve_is_drawn_to_scale() -> None:
    points = [Point(0.0, 1.0, wilson(10, 10)), Point(0.5, 0.0, wilson(0, 10))]
    drawn = drawing(Curve("l2", [(0.0, 1.0), (0.5, 0.0)], points))
    assert [y for _, y, _, _ in drawn["points"]] == [26, 146]
    assert drawn["line"] == "38,26 223.2,146"
    assert drawn["title"] == "Accuracy against l2 epsilon: 100.0 % at 0, 0.0 % at 0.5"


def test_the_band_ends_at_the_accuracy_of_the_next_point() -> None:
    points = [Point(0.0, 1.0, wilson(10, 10)), Point(0.5, 0.5, wilson(5, 10))]
    drawn = drawing(Curve("l2", [(0.0, 1.0), (0.5, 0.5)], points))
    assert drawn["band"] == "38,26 223.2,86 223.2,86 38,86"

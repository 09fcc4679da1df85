"""Charts: a mark where its value is, nothing where there is none, no chart of nothing."""

import math

import numpy as np
import pytest
from drawing import SVG, parsed, paths, starts, texts, where

from brainweave.errors import EvaluationError
from brainweave.evaluation.axes import MARKERS, Axes
from brainweave.evaluation.charts import Band, Line, bars, histogram, scatter

AXES = Axes("ventricles", "age, years", "volume, mL")
AGES = np.array([20.0, 40.0, 60.0, 80.0])


def centres(chart: str, group: str, index: int) -> list[tuple[float, float]]:
    """The points that a series' path marks."""
    marks = [d for d in paths(chart, group) if MARKERS[index] in d]
    return starts(marks[-1])


def test_a_scatter_puts_marks_where_values_are() -> None:
    chart = scatter(AGES, 10 * AGES, ["real"] * 4, AXES)
    points = centres(chart, "c0", 0)
    tick_x, tick_y = where(chart, "40")[0], where(chart, "400")[1]
    assert len(points) == 4
    assert points[1] == pytest.approx((tick_x, tick_y - 4), abs=0.2)


def test_groups_differ_in_colour_and_shape() -> None:
    chart = scatter(AGES, AGES, ["real", "made", "real", "made"], AXES)
    assert len(centres(chart, "c0", 0)) == len(centres(chart, "c1", 1)) == 2


def test_points_without_a_value_are_counted_not_drawn() -> None:
    chart = scatter(AGES, np.array([1.0, math.nan, math.inf, 2.0]), ["made"] * 4, AXES)
    assert "made, n = 2 (2 without a value)" in texts(chart)
    assert len(centres(chart, "c0", 0)) == 2
    assert "nan" not in chart.lower()


def test_the_band_and_lines_are_drawn_and_named() -> None:
    band = Band(AGES, AGES - 5, AGES + 5, "real, 95 %")
    chart = scatter(AGES, AGES, ["made"] * 4, AXES, band=band, lines=[Line(AGES, AGES, "equal")])
    assert {"real, 95 %", "equal"} <= set(texts(chart))
    outline = [p.attrib["d"] for p in parsed(chart).iter(f"{SVG}path")]
    assert any(d.endswith("Z") and d.count("L") == 7 for d in outline)


def test_a_band_beyond_the_points_is_inside_the_frame() -> None:
    band = Band(AGES, AGES - 500, AGES + 500)
    assert "−500" in texts(scatter(AGES, AGES, ["made"] * 4, AXES, band=band))


def test_a_band_is_drawn_where_it_is_known() -> None:
    low = np.array([math.nan, 35.0, 55.0, 75.0])
    chart = scatter(AGES, AGES, ["made"] * 4, AXES, band=Band(AGES, low, low + 10))
    assert "nan" not in chart
    assert any(
        d.attrib["d"].endswith("Z") and d.attrib["d"].count("L") == 5
        for d in parsed(chart).iter(f"{SVG}path")
    )


def test_a_histogram_shows_shares_of_each_group() -> None:
    values = np.array([0.0, 0.0, 0.0, 1.0])
    chart = histogram({"real": values, "made": np.repeat(values, 50)}, AXES, bins=2)
    assert paths(chart, "c0")[1:] == paths(chart, "c1")[1:]


def test_a_histogram_marks_a_threshold_beyond_its_values() -> None:
    chart = histogram({"made": AGES}, AXES, marks={"same person": 200.0})
    assert {"same person", "200"} <= set(texts(chart))


def test_a_histogram_of_one_value_is_drawn() -> None:
    assert "made, n = 3" in texts(histogram({"made": np.full(3, 2.5)}, AXES))


def test_a_group_without_values_is_said() -> None:
    chart = histogram({"real": AGES, "made": np.full(3, math.nan)}, AXES)
    assert "made, n = 0 (3 without a value)" in texts(chart)


def test_bars_begin_at_zero_and_end_at_their_value() -> None:
    chart = bars(["CSF", "grey"], {"made": [2.0, -1.0]}, AXES)
    up, down = [r.attrib for r in parsed(chart).iter(f"{SVG}rect")]
    zero, one = where(chart, "0")[0], where(chart, "−1")[0]
    assert float(up["x"]) == pytest.approx(zero, abs=0.2)
    assert float(down["x"]) == pytest.approx(one, abs=0.2)
    assert float(up["width"]) == pytest.approx(2 * float(down["width"]), abs=0.2)


def test_a_bar_without_a_value_says_so() -> None:
    chart = bars(["CSF", "grey", "white"], {"made": [2.0, None, math.nan]}, AXES)
    assert texts(chart).count("–") == 2
    assert len(list(parsed(chart).iter(f"{SVG}rect"))) == 1


def test_intervals_are_inside_the_frame() -> None:
    chart = bars(["CSF"], {"made": [1.0]}, AXES, intervals={"made": [(-9.0, 9.0)]})
    assert "−5" in texts(chart)


def test_charts_say_what_they_are_to_a_reader() -> None:
    chart = parsed(scatter(AGES, AGES, ["real"] * 4, AXES))
    assert (chart.get("role"), chart.get("aria-label")) == ("img", "ventricles")


def test_names_of_users_are_escaped() -> None:
    named = "<script>&"
    assert named in "".join(texts(scatter(AGES, AGES, [named] * 4, AXES)))
    assert named in texts(bars([named], {"made": [1.0]}, AXES))


@pytest.mark.parametrize("empty", [np.zeros(0), np.full(4, math.nan)])
def test_nothing_is_refused(empty: np.ndarray) -> None:
    said = "nothing to draw in 'ventricles'"
    with pytest.raises(EvaluationError, match=said):
        scatter(empty, empty, ["real"] * len(empty), AXES)
    with pytest.raises(EvaluationError, match=said):
        histogram({"real": empty}, AXES)
    with pytest.raises(EvaluationError, match=said):
        bars(["CSF"] * len(empty), {"real": empty.tolist()}, AXES)

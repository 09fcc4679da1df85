"""Frames of charts: ticks are round and inside, numbers are short, words are escaped."""

import math

import numpy as np
import pytest

from brainweave.evaluation.axes import Axes, element, frame, legend, number, shortened, text, ticks

AXES = Axes("title", "age, years", "volume, mL")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (18.0, 93.0, [20, 40, 60, 80]),
        (-0.31, 0.29, [-0.2, 0, 0.2]),
        (1e-6, 3e-6, [1e-6, 1.5e-6, 2e-6, 2.5e-6, 3e-6]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("low", [-1234.5, -0.001, 0.0, 7.3, 1e5])
@pytest.mark.parametrize("span", [1e-3, 0.7, 13.0, 4e6])
def test_there_are_two_to_eight_ticks_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 8
    assert low - 1e-6 * span <= found[0] < found[-1] <= low + span + 1e-6 * span


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (math.nan, "-"),
        (0.0, "0"),
        (0.012345, "0.0123"),
        (-1.0, "-1"),
        (12345.6, "12346"),
        (0.0000123456, "1.23e-05"),
        (1.5e7, "1.5e+07"),
        (math.inf, "inf"),
    ],
)
def test_numbers_have_three_digits(value: float | None, expected: str) -> None:
    assert number(value) == expected


def test_digits_can_be_fewer() -> None:
    assert [number(v, digits=2) for v in (0.0123, 0.000123, 345.6)] == ["0.012", "1.2e-04", "346"]


def test_words_are_escaped() -> None:
    assert "<b>" not in text(0, 0, "a <b> & c") + element("g", title='"><b>')


def test_long_words_end_in_an_ellipsis() -> None:
    assert shortened("lateral ventricles", 60.0) == "lateral…"
    assert shortened("CSF", 60.0) == "CSF"


def test_a_frame_maps_its_ends_to_its_edges() -> None:
    framed, _ = frame(AXES, [0.0, 10.0], [0.0, 1.0])
    assert framed.across(np.array(framed.x)) == pytest.approx([framed.left, framed.right])
    assert framed.down(np.array(framed.y)) == pytest.approx([framed.bottom, framed.top])


def test_a_frame_of_one_value_has_room_about_it() -> None:
    framed, _ = frame(AXES, [5.0, 5.0], [0.0, math.nan])
    assert framed.x[0] < 5 < framed.x[1]
    assert framed.y[0] < 0 < framed.y[1]


def test_a_frame_names_its_axes() -> None:
    framed, _ = frame(AXES, [0.0, 1.0], [0.0, 1.0])
    drawn = framed.drawn()
    assert "age, years" in drawn
    assert "volume, mL" in drawn


def test_a_legend_takes_the_lines_it_needs() -> None:
    keys = [("", "a group with a long name")] * 3
    assert [legend(keys, width)[1] for width in (1000, 400, 200)] == [1, 2, 3]
    assert legend([], 400) == ("", 0)

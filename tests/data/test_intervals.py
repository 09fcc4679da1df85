"""Intervals: the ways people write them, there and back."""

import math

import pytest

from brainweave.data.intervals import interval, worded


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("72.5", (72.5, 72.5)),
        ("-5", (-5.0, -5.0)),
        ("60-65", (60.0, 65.0)),
        ("60 – 65", (60.0, 65.0)),
        ("60 to 65", (60.0, 65.0)),
        ("-5--3", (-5.0, -3.0)),
        ("[60, 65)", (60.0, 65.0)),
        (">89", (89.0, math.inf)),
        (">= 89", (89.0, math.inf)),
        ("89+", (89.0, math.inf)),
        ("<20", (-math.inf, 20.0)),
        ("≤20", (-math.inf, 20.0)),
        ("1e-5", (1e-5, 1e-5)),
    ],
)
def test_an_interval_is_read(text: str, found: tuple[float, float]) -> None:
    assert interval(text) == found


@pytest.mark.parametrize("text", ["old", "2019-03-01", "65-60", "60-", "inf", "", "n/a", "60 65"])
def test_another_text_is_none(text: str) -> None:
    assert interval(text) is None


@pytest.mark.parametrize("value", [(60.0, 65.0), (0.5, 3.25), (-5.0, -3.0), (7.0, 7.0)])
def test_what_is_worded_is_read_again(value: tuple[float, float]) -> None:
    word = worded(value, -100.0, 100.0)
    assert interval(str(word)) == value


def test_an_end_at_the_limit_is_open() -> None:
    assert worded((89.0, 96.0), 20.0, 96.0) == ">89"
    assert worded((20.0, 30.0), 20.0, 96.0) == "<30"
    assert worded((20.0, 96.0), 20.0, 96.0) == "20-96"

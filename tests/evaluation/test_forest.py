"""The forest plot: a mark stands at its z, what is off the scale is an arrow, all are told."""

import math
import re

import pytest
from drawing import SVG, parsed, texts, where

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score
from brainweave.evaluation.forest import forest

SQUARE, ARROW = "h8v8", "l10 5.5"


def score(name: str, z: float | None, **more: float) -> Score:
    value = 10.0 + (z or 0.0)
    return Score(name, value, n=60, null_mean=10.0, null_sd=1.0, z=z, **more)


def marks(chart: str) -> list[tuple[str, str, float]]:
    """The grade, the shape and the horizontal place of every row's mark."""
    found = []
    for group in parsed(chart).iter(f"{SVG}g"):
        if group.get("class") in ("good", "fair", "bad"):
            mark = list(group.iter(f"{SVG}path"))[-1]
            place = re.match(r"translate\(([\d.]+)", mark.attrib["transform"])
            assert place is not None
            found.append((str(group.get("class")), mark.attrib["d"], float(place[1])))
    return found


@pytest.mark.parametrize("narrow", [False, True])
def test_a_mark_stands_at_its_z(narrow: bool) -> None:
    chart = forest([score("pca/kid", 2.0), score("pca/mmd", -4.0)], narrow=narrow)
    places = [place for _, _, place in marks(chart)]
    assert places == pytest.approx([where(chart, "2")[0], where(chart, "−4")[0]], abs=0.2)


def test_grades_are_by_distance_from_the_null() -> None:
    zs = [0.0, -1.9, 2.5, -2.5, 3.5, -30.0]
    grades = [grade for grade, _, _ in marks(forest([score("a/b", z) for z in zs]))]
    assert grades == ["good", "good", "fair", "fair", "bad", "bad"]


@pytest.mark.parametrize("z", [10.4, 2e8, math.inf, -11.0])
def test_what_is_off_the_scale_is_an_arrow_at_the_edge_with_its_number(z: float) -> None:
    chart = forest([score("a/b", z), score("a/c", 10.0), score("a/d", -10.0)])
    beyond, high, low = marks(chart)
    assert ARROW in beyond[1]
    assert SQUARE in high[1]
    assert beyond[2] == (high if z > 0 else low)[2]
    assert {10.4: "10.4", 2e8: "2e+08", math.inf: "inf", -11.0: "−11.0"}[z] in texts(chart)


def test_the_interval_is_in_units_of_the_null() -> None:
    chart = forest([score("a/b", 1.0, low=8.0, high=12.0)])
    d = next(p.attrib["d"] for p in parsed(chart).iter(f"{SVG}path") if "H" in p.attrib["d"])
    ends = [float(x) for x in re.findall(r"M([\d.]+) [\d.]+H([\d.]+)", d)[0]]
    assert ends == pytest.approx([where(chart, "−2")[0], where(chart, "2")[0]], abs=0.2)


def test_rows_are_grouped_by_features() -> None:
    scores = [score("pca/kid", 0.0), score("wavelet/kid", 0.0), score("pca/mmd [site=a/b]", 0.0)]
    chart = forest([*scores, score("ms_ssim", 0.0)])
    rows = ["pca", "kid", "mmd [site=a/b]", "wavelet", "others", "ms_ssim"]
    heights = [where(chart, words)[1] for words in rows]
    assert heights == sorted(heights)


def test_the_value_and_its_null_are_printed() -> None:
    assert {"12", "10 ± 1", "2.0"} <= set(texts(forest([score("pca/kid", 2.0)])))


def test_a_score_without_a_null_has_no_row() -> None:
    chart = forest([score("a/b", 0.0), score("a/c", None), score("a/d", math.nan)])
    assert len(marks(chart)) == 1


def test_names_of_users_are_escaped() -> None:
    assert "<b>" in texts(forest([score("a/<b>", 0.0)]))


@pytest.mark.parametrize("scores", [[], [score("a/b", None)]])
def test_nothing_is_refused(scores: list[Score]) -> None:
    with pytest.raises(EvaluationError, match="no score has a null"):
        forest(scores)

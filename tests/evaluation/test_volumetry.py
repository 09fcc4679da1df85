"""Scores of regions' volumes on numbers drawn from known distributions."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score
from brainweave.evaluation.volumetry import AgeCurve, Aged, ageing, compare_regions

NAMES = ("ventricle", "cortex")


def people(
    n: int, seed: int, *, ages: tuple[float, float] = (20, 80), slope: float = 0.015
) -> Aged:
    """Ventricles grow by `slope` of their log per year, cortex shrinks."""
    random = np.random.default_rng(seed)
    age = random.uniform(*ages, n)
    ventricle = np.exp(2.3 + slope * age + 0.25 * random.normal(size=n))
    cortex = 700 - 2 * age + 30 * random.normal(size=n)
    return Aged(np.stack([ventricle, cortex], axis=1), age, [f"{seed}-{i}" for i in range(n)])


def compared(real: Aged, made: Aged) -> dict[str, Score]:
    scores = compare_regions(real.ml, made.ml, NAMES, real.persons, made.persons, draws=200)
    return {score.name: score for score in scores}


def aged(real: Aged, made: Aged) -> dict[str, AgeCurve]:
    return {curve.region: curve for curve in ageing(real, made, NAMES, draws=100)}


def test_equal_people_lie_in_the_null() -> None:
    for score in compared(people(120, 0), people(80, 1)).values():
        assert abs(score.z) < 3


def test_a_shift_is_seen_by_both_scores() -> None:
    real, made = people(120, 0), people(80, 1)
    larger = Aged(made.ml * [1.3, 1], made.ages, made.persons)
    scores = compared(real, larger)
    assert scores["anatomy/ventricle/wasserstein"].z > 4
    assert scores["anatomy/ventricle/effect"].z > 3
    assert abs(scores["anatomy/cortex/effect"].z) < 3


def test_the_effect_is_cohens() -> None:
    real, made = people(40, 0), people(30, 1)
    a, b = real.ml[:, 1], made.ml[:, 1]
    pooled = np.sqrt((39 * a.var(ddof=1) + 29 * b.var(ddof=1)) / 68)
    score = compared(real, made)["anatomy/cortex/effect"]
    assert score.value == pytest.approx((b.mean() - a.mean()) / pooled)
    assert score.low < score.value < score.high


def test_the_distance_is_scipys() -> None:
    from brainweave.evaluation.volumetry import _distance

    a, b = people(25, 0).ml, people(25, 1).ml
    expected = [wasserstein_distance(a[:, r], b[:, r]) for r in range(2)]
    np.testing.assert_allclose(_distance(a, b), expected)


def test_the_null_of_effects_has_the_spread_of_theory() -> None:
    score = compared(people(400, 0), people(100, 1))["anatomy/cortex/effect"]
    assert score.null_sd == pytest.approx(np.sqrt(1 / 400 + 1 / 100), rel=0.15)


def test_real_ageing_lies_in_the_band() -> None:
    for curve in aged(people(150, 0), people(100, 1)).values():
        assert curve.share.value == pytest.approx(0.95, abs=0.06)
        assert curve.share.null_mean == pytest.approx(0.95, abs=0.03)
        assert abs(curve.share.z) < 3
        assert abs(curve.slope.z) < 3


def test_brains_that_do_not_age_leave_the_band() -> None:
    curve = aged(people(150, 0), people(100, 1, slope=-0.015))["ventricle"]
    assert curve.share.z < -3
    assert curve.slope.z < -3


def test_the_band_holds_its_points_and_its_mean() -> None:
    curve = aged(people(150, 0), people(100, 1))["ventricle"]
    assert (curve.low < curve.mean).all()
    assert (curve.mean < curve.high).all()
    at = [np.interp(curve.real[:, 0], curve.ages, side) for side in (curve.low, curve.high)]
    inside = (curve.real[:, 1] >= at[0]) & (curve.real[:, 1] <= at[1])
    assert 0.9 < inside.mean() <= 1


def test_slopes_are_per_decade() -> None:
    curve = aged(people(400, 0), people(300, 1))["cortex"]
    assert curve.slope.value == pytest.approx(-20, abs=4)
    assert curve.slope.null_mean == pytest.approx(-20, abs=4)


def test_ages_missing_or_beyond_the_real_ones_are_left_out() -> None:
    made = people(60, 1, ages=(20, 120))
    made.ages[0] = np.nan
    curve = aged(people(80, 0), made)["cortex"]
    assert curve.share.n == len(curve.made) < 59
    assert curve.made[:, 0].max() <= curve.ages[-1]


def test_a_seed_repeats_the_numbers() -> None:
    one, other = (compared(people(60, 0), people(40, 1)) for _ in range(2))
    assert one == other


def test_too_few_are_refused() -> None:
    few, many = people(15, 0), people(60, 1)
    with pytest.raises(EvaluationError, match="15 real"):
        ageing(few, many, NAMES)
    with pytest.raises(EvaluationError, match="are needed"):
        compared(few, many)
    with pytest.raises(EvaluationError, match="have an age of"):
        ageing(many, people(30, 2, ages=(90, 99)), NAMES)


def test_unmeasured_volumes_are_refused() -> None:
    real, made = people(60, 0), people(60, 1)
    made.ml[3, 1] = np.nan
    with pytest.raises(EvaluationError, match="1 made"):
        ageing(real, made, NAMES)

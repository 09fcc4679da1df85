"""Values beside their nulls: calibrated where nothing is wrong, loud where something is."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score
from brainweave.evaluation.comparison import METRICS, compare, distribution, standardise
from brainweave.evaluation.nulls import draw

FAST = ("frechet", "mmd", "density@3")


def drawn(seed: int, n: int, d: int = 12) -> np.ndarray:
    deviations = np.arange(1, d + 1) ** -0.5
    return np.random.default_rng(seed).standard_normal((n, d)) * deviations


def compared(real: np.ndarray, made: np.ndarray, **options: object) -> dict[str, Score]:
    scores = compare(
        real,
        made,
        real_persons=[f"real{index}" for index in range(len(real))],
        made_persons=[f"made{index}" for index in range(len(made))],
        name="toy",
        **options,  # type: ignore[arg-type]
    )
    return {score.name.removeprefix("toy/"): score for score in scores}


@pytest.fixture
def registry() -> Iterator[None]:
    kept = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(kept)


@pytest.mark.parametrize("d", [12, 150])
def test_real_against_real_stays_within_its_null(d: int) -> None:
    scores = [
        score
        for seed in range(0, 24, 2)
        for score in compared(drawn(seed, 60, d), drawn(seed + 1, 60, d), draws=30).values()
    ]
    z = np.abs([score.z for score in scores])
    assert len(scores) == 12 * 15
    assert z.max() < 3
    assert (z > 2).mean() < 0.1


def test_volumes_that_vary_in_strength_do_not_look_wrong() -> None:
    """Where whole halves, which add up to the same volumes, show almost no spread."""
    z = []
    for seed in range(0, 20, 2):
        sides = [drawn(seed + side, 60, 100) for side in (0, 1)]
        for side, x in enumerate(sides):
            x *= np.exp(0.15 * np.random.default_rng(50 + seed + side).standard_normal((60, 1)))
        z.append(compared(*sides, metrics=["frechet"], draws=30)["frechet"].z)
    assert np.abs(z).max() < 3


def test_a_shift_is_far_outside_the_null() -> None:
    scores = compared(drawn(0, 60), drawn(1, 60) + 1, metrics=FAST)
    assert scores["frechet"].z > 5  # type: ignore[operator]
    assert scores["mmd"].z > 5  # type: ignore[operator]
    assert scores["density@3"].z < -2  # type: ignore[operator]


def test_few_vectors_repeated_are_flagged_twice() -> None:
    scores = compared(drawn(0, 60), np.repeat(drawn(1, 8), 8, axis=0))
    assert sum(abs(score.z or 0) > 3 for score in scores.values()) >= 2


def test_both_sides_are_equally_many_and_said_to_be() -> None:
    assert compared(drawn(0, 40), drawn(1, 200), metrics=FAST)["mmd"].n == 20
    assert compared(drawn(0, 40), drawn(1, 11), metrics=FAST)["mmd"].n == 11


def test_a_value_lies_in_its_interval_and_the_seed_decides_it() -> None:
    sides = drawn(0, 50), drawn(1, 40)
    scores = compared(*sides, seed=3)
    assert all(score.low <= score.value <= score.high for score in scores.values())  # type: ignore[operator]
    assert compared(*sides, seed=3) == scores
    assert compared(*sides, seed=4)["mmd"].value != scores["mmd"].value


def test_made_sides_too_small_to_halve_have_no_interval() -> None:
    score = compared(drawn(0, 30), drawn(1, 3), metrics=["frechet"])["frechet"]
    assert (score.low, score.high, score.n) == (None, None, 3)
    assert score.z is not None


def test_intervals_hold_the_expectation_about_as_often_as_they_say() -> None:
    """Also where all made vectors are used in each draw."""
    truth = np.mean([compared_frechet(drawn(100 + s, 20), drawn(200 + s, 20)) for s in range(150)])
    held = 0
    for seed in range(40):
        score = compare(
            drawn(300 + seed, 40) / STANDARD,
            drawn(400 + seed, 20) / STANDARD,
            real_persons=[str(index) for index in range(40)],
            made_persons=[str(index) for index in range(20)],
            name="toy",
            metrics=["frechet"],
            draws=30,
        )[0]
        held += score.low <= truth <= score.high  # type: ignore[operator]
    assert held >= 32


STANDARD = np.arange(1, 13) ** -0.5


def compared_frechet(real: np.ndarray, made: np.ndarray) -> float:
    from brainweave.evaluation.distribution import frechet

    return frechet(real / STANDARD, made / STANDARD)


def test_scans_of_one_person_are_never_on_both_sides_of_the_null() -> None:
    persons = [f"p{index // 3}" for index in range(30)]
    sets = draw(persons, ["m"] * 12, draws=20, seed=0)
    for pair in (*sets.within, *sets.fewer):
        first, second = ({persons[index] for index in side} for side in pair)
        assert not first & second
        assert len(pair[0]) == len(pair[1])


def test_a_decorated_function_gets_its_null_and_interval(registry: None) -> None:
    @distribution("shift", better="lower")
    def shift(real: np.ndarray, made: np.ndarray) -> float:
        return float(np.abs(real.mean(axis=0) - made.mean(axis=0)).max())

    score = compared(drawn(0, 40), drawn(1, 40) + 1)["shift"]
    assert score.z > 3 > 0 < score.null_sd  # type: ignore[operator]
    assert score.low < score.value < score.high  # type: ignore[operator]


def test_what_a_metric_prepares_is_taken_from_all_real_vectors_once(registry: None) -> None:
    seen = []

    def count(vectors: np.ndarray) -> int:
        seen.append(len(vectors))
        return len(vectors)

    @distribution("prepared", better="lower", prepare=count)
    def prepared(real: np.ndarray, made: np.ndarray, known: int) -> float:
        return known + float(real.mean())

    assert compared(drawn(0, 22), drawn(1, 5), metrics=["prepared"])["prepared"].value > 20
    assert seen == [22]


def test_neighbours_that_n_does_not_have_are_left_out() -> None:
    scores = compared(drawn(0, 16), drawn(1, 16))
    assert "coverage@5" in scores
    assert "coverage@10" not in scores


def test_names_digest_and_order_are_as_asked() -> None:
    scores = compared(drawn(0, 16), drawn(1, 16), metrics=["mmd", "frechet"], digest="abc")
    assert list(scores) == ["mmd", "frechet"]
    assert scores["mmd"].digest == "abc"


def test_a_share_never_has_less_than_its_standard_error() -> None:
    score = compared(drawn(0, 60), drawn(0, 60))["coverage@10"]
    assert score.null_mean > 0.99  # type: ignore[operator]
    assert score.null_sd == pytest.approx(0.04, abs=0.01)


def test_a_constant_feature_is_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    real, made = drawn(0, 20), drawn(1, 20)
    real[:, 4] = made[:, 4] = 3
    found = standardise(real, made)
    assert found.real.shape == (20, 11)
    with caplog.at_level(logging.WARNING):
        compared(real, made, metrics=FAST)
    assert "1 of 12 features do not vary among the real volumes" in caplog.text


def test_a_feature_constant_among_real_ones_alone_is_seen_but_does_not_drown_the_others() -> None:
    real, made = drawn(0, 60), drawn(1, 60)
    real[:, 4] = 1
    made[:, 4] = 1 + drawn(2, 60, 1)[:, 0]
    found = standardise(real, made)
    assert found.made.shape == (60, 12)
    assert 0.3 < np.abs(found.made[:, 4]).mean() < 30
    assert compared(real, made, metrics=["frechet"])["frechet"].z > 3  # type: ignore[operator]


def test_real_ones_have_mean_zero_and_deviation_one() -> None:
    found = standardise(drawn(0, 30) * 1e4 + 5e5, drawn(1, 30))
    assert np.allclose(found.real.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(found.real.std(axis=0, ddof=1), 1)


def test_three_real_persons_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"3 real person\(s\).*takes 4"):
        compared(drawn(0, 3), drawn(1, 20))


def test_five_real_volumes_give_numbers() -> None:
    scores = compared(drawn(0, 5), drawn(1, 20))
    assert scores["frechet"].n == 2
    assert np.isfinite(scores["mmd"].z or 0)


def test_features_that_are_not_finite_are_named() -> None:
    made = drawn(1, 6)
    made[3, 2] = np.inf
    with pytest.raises(EvaluationError, match="features of made 'made3' are not finite"):
        compared(drawn(0, 20), made)


def test_unknown_metrics_are_refused_with_the_known_ones() -> None:
    with pytest.raises(EvaluationError, match=r"no metric 'fid'; there are frechet, .*mmd"):
        compared(drawn(0, 20), drawn(1, 20), metrics=["fid"])

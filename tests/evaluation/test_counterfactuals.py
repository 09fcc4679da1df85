"""One head at several ages beside real persons of these ages."""

from pathlib import Path

import numpy as np
import pytest

from brainweave.data.cohort import Cohort, Subject
from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score
from brainweave.evaluation.counterfactuals import counterfactuals
from brainweave.evaluation.counterfactuals import heads as heads_of
from brainweave.evaluation.scans import open_sides
from brainweave.evaluation.volumetry import Aged

NAMES = ("ventricles", "cortex", "pons")
SLOPES = np.array([5.0, -20.0, 0.0])  # per decade


def people(count: int, seed: int, sd: float = 10.0) -> Aged:
    random = np.random.default_rng(seed)
    ages = random.uniform(20, 80, count)
    regions = 300 + ages[:, None] / 10 * SLOPES + sd * random.standard_normal((count, 3))
    return Aged(regions, ages, tuple(str(i) for i in range(count)))


def made(slopes: np.ndarray, count: int = 6, seed: int = 0) -> Aged:
    """Heads that differ much from each other, each at four ages."""
    random = np.random.default_rng(seed)
    ages = np.tile([20.0, 40, 60, 80], count)
    base = np.repeat(100 * random.standard_normal((count, 3)), 4, axis=0)
    regions = base + ages[:, None] / 10 * slopes + 0.5 * random.standard_normal((4 * count, 3))
    return Aged(regions, ages, tuple(str(i // 4) for i in range(4 * count)))


def scores(one: Aged, other: Aged) -> dict[str, Score]:
    return {s.name: s for s in counterfactuals(one, other, NAMES).scores}


def test_slopes_within_heads_are_found_whatever_lies_between_heads():
    found = scores(made(SLOPES), people(200, 1))
    for name, slope in zip(NAMES, SLOPES, strict=True):
        score = found[f"{name}/change per decade"]
        assert score.value == pytest.approx(slope, abs=0.3)
        assert score.low <= score.value <= score.high
        assert abs(score.z) < 3


def test_real_slopes_are_told_with_their_interval():
    found = scores(made(SLOPES), people(200, 1))
    for name, slope in zip(NAMES, SLOPES, strict=True):
        score = found[f"real {name}/change per decade"]
        assert score.low < slope < score.high


def test_heads_that_age_backwards_are_found():
    found = scores(made(-SLOPES), people(200, 1))
    assert found["regions/same direction"].value == 0
    assert found["ventricles/change per decade"].z < -3


def test_only_regions_that_change_in_real_persons_count_for_the_direction():
    found = scores(made(SLOPES), people(200, 1))
    assert found["regions/same direction"].n == 2
    assert found["regions/same direction"].value == 1


def test_heads_that_do_not_age_agree_by_chance_only():
    found = scores(made(0 * SLOPES), people(200, 1))
    assert found["cortex/change per decade"].z > 3


def test_real_persons_of_other_ages_are_left_out():
    young = made(SLOPES)
    young = Aged(young.ml, 20 + (young.ages - 20) / 2, young.persons)
    found = counterfactuals(young, people(200, 1), NAMES)
    assert found.said[0].startswith("Real slopes are from")


def test_volumes_without_a_second_age_are_left_out_and_counted():
    one = made(SLOPES)
    more = Aged(
        np.concatenate([one.ml, one.ml[:1]]),
        np.append(one.ages, 33),
        (*one.persons, "single"),
    )
    said = counterfactuals(more, people(200, 1), NAMES).said
    assert "1 made volumes are no head at several ages: left out." in said


def test_heads_of_one_age_are_refused():
    with pytest.raises(EvaluationError, match="0 of 50 made heads"):
        counterfactuals(people(50, 2), people(200, 1), NAMES)


def test_too_few_real_persons_are_refused():
    with pytest.raises(EvaluationError, match="20 is the least"):
        counterfactuals(made(SLOPES), people(19, 1), NAMES)


def test_heads_are_told_by_seed_or_by_person(heads: Path) -> None:
    cohort = Cohort.open(heads)
    plain = open_sides({"made": cohort})[0]["made"]
    assert heads_of(plain) == tuple(plain.persons)
    seeded = Cohort(
        [
            Subject(id=s.id, images=s.images, covariates={**s.covariates, "seed": float(i // 2)})
            for i, s in enumerate(cohort)
        ]
    )
    found = heads_of(open_sides({"made": seeded})[0]["made"])
    assert found[:4] == ("seed 0", "seed 0", "seed 1", "seed 1")

"""Judges of age and sex on features that grow with both."""

from dataclasses import replace

import numpy as np
import pytest

from brainweave.errors import EvaluationError
from brainweave.evaluation.faithfulness import Looks, Obedience, age, auc, sex
from brainweave.evaluation.linear import Scaling, fit, folds, predicted
from brainweave.evaluation.scans import Scans, open_sides

FEATURES = 30


def looks(count: int, seed: int, *, heard: float = 1.0, name: str = "p", sites: int = 1) -> Looks:
    """Features that show `heard` of the known age's deviation from 50, and the sex."""
    random = np.random.default_rng(seed)
    ages, male = random.uniform(20, 80, count), random.random(count) < 0.5
    shown = 50 + heard * (ages - 50)
    pattern, other = np.random.default_rng(77).standard_normal((2, FEATURES))
    noise = 0.5 * random.standard_normal((count, FEATURES))
    blocks = 0.02 * shown[:, None] * pattern + 1.0 * male[:, None] * other + noise
    persons = tuple(f"{name}{seed}-{i}" for i in range(count))
    places = tuple("ab"[i % sites] for i in range(count))
    return Looks(blocks, None, persons, ages, tuple("FM"[int(m)] for m in male), places)


def value(found: Obedience, name: str) -> float:
    return next(score.value for score in found.scores if score.name == name)


@pytest.fixture(scope="module")
def honest() -> Obedience:
    return age(looks(80, 1), looks(60, 2))


# Judges


def test_ridge_is_the_solution_of_its_normal_equations(monkeypatch):
    random = np.random.default_rng(0)
    rows, targets = random.standard_normal((12, 5)), random.standard_normal(12)
    monkeypatch.setattr("brainweave.evaluation.linear.STRENGTHS", np.array([0.1]))
    judge = fit("ridge", rows, targets, [str(i) for i in range(12)], seed=0)
    x = rows - rows.mean(0)
    strength = 0.1 * np.linalg.eigvalsh(x @ x.T).max()
    weights = np.linalg.solve(x.T @ x + strength * np.eye(5), x.T @ (targets - targets.mean()))
    np.testing.assert_allclose(judge(rows), x @ weights + targets.mean(), rtol=1e-8)


def test_logistic_regression_has_no_slope_left_at_its_solution(monkeypatch):
    random = np.random.default_rng(0)
    rows = random.standard_normal((40, 4))
    targets = (rows[:, 0] + random.standard_normal(40) > 0).astype(float)
    monkeypatch.setattr("brainweave.evaluation.linear.STRENGTHS", np.array([0.1]))
    judge = fit("logistic", rows, targets, [str(i) for i in range(40)], seed=0)
    odds = 1 / (1 + np.exp(-judge(rows)))
    x = rows - rows.mean(0)
    weights = np.linalg.lstsq(x, judge(rows) - judge(rows).mean(), rcond=None)[0]
    penalty = 0.1 * np.linalg.eigvalsh(x @ x.T).max() / 4
    np.testing.assert_allclose(x.T @ (targets - odds), penalty * weights, atol=1e-6)
    assert (targets - odds).sum() == pytest.approx(0, abs=1e-6)


def test_separable_sexes_are_no_trouble():
    rows = np.repeat([[0.0, 1.0], [1.0, 0.0]], 15, axis=0)
    persons = [str(i) for i in range(30)]
    targets = np.repeat([0.0, 1.0], 15)
    seen = predicted("logistic", rows, targets, persons, seed=0)
    assert ((seen > 0) == (targets == 1)).all()


def test_nobody_is_in_two_folds():
    persons = ["a", "b", "a", "c", "d", "d", "e"]
    parts = list(folds(persons, 3, 0))
    assert np.sum(parts, axis=0).tolist() == [1] * 7
    assert all(len({part[0], part[2]}) == 1 and part[4] == part[5] for part in parts)


def test_noise_is_not_predicted_in_cross_validation():
    random = np.random.default_rng(0)
    rows, targets = random.standard_normal((60, 200)), random.uniform(20, 80, 60)
    persons = [str(i // 2) for i in range(60)]
    twins = rows[np.arange(60) // 2 * 2]
    ages = targets[np.arange(60) // 2 * 2]  # two scans of each person: known to who leaks
    seen = predicted("ridge", twins, ages, persons, seed=0)
    assert np.corrcoef(seen, ages)[0, 1] < 0.3


def test_both_kinds_of_features_weigh_the_same():
    random = np.random.default_rng(0)
    blocks, regions = random.random((20, 50)), random.random((20, 3)) * [1, 1000, 0]
    rows = Scaling.of(blocks, regions)(blocks, regions)
    assert rows[:, :50].var(0).sum() == pytest.approx(1)
    assert rows[:, 50:].var(0).sum() == pytest.approx(1)
    assert rows[:, 50].var() == pytest.approx(rows[:, 51].var())
    assert not rows[:, 52].any()


# Age


def test_obeyed_ages_have_the_slope_of_real_ones(honest):
    assert value(honest, "age slope corrected") == pytest.approx(1, abs=0.1)
    assert all(abs(s.z) < 3 for s in honest.scores if s.z is not None)


def test_the_judge_sees_ages_of_real_persons_it_never_saw(honest):
    assert value(honest, "real age r") > 0.9
    assert honest.scores[0].name == "real age mae"


def test_half_heard_ages_have_half_the_slope():
    found = age(looks(80, 1), looks(60, 2, heard=0.5))
    score = next(s for s in found.scores if s.name == "age slope corrected")
    assert score.value == pytest.approx(0.5, abs=0.08)
    assert score.low < 0.5 < score.high
    assert score.z < -3


def test_correction_removes_the_dilution_of_a_noisy_judge():
    random = np.random.default_rng(5)
    real, made = looks(300, 1), looks(300, 2, heard=0.5)
    for side in (real, made):
        side.blocks[:] += 1.5 * random.standard_normal(side.blocks.shape)
    found = age(real, made)
    assert value(found, "real age slope") < 0.85
    assert value(found, "age slope corrected") == pytest.approx(0.5, abs=0.12)


def test_real_volumes_are_judged_by_what_others_trained():
    real, train = looks(40, 1), looks(80, 3)
    both = replace(real, persons=(train.persons[0], *real.persons[1:]))
    found = age(both, looks(30, 2), train)
    assert len(found.real.seen) == 39
    assert found.said[0].startswith("1 real volumes are of persons in train")
    assert value(found, "age slope corrected") == pytest.approx(1, abs=0.15)


def test_missing_ages_are_left_out_and_counted():
    real = looks(60, 1)
    real.ages[:7] = np.nan
    found = age(real, looks(30, 2))
    assert "real: 7 of 60 volumes lack age: left out." in found.said
    assert len(found.real.known) == 53


def test_asked_ages_outside_of_the_real_ones_are_said():
    made = looks(30, 2)
    made.ages[0] = 95
    assert any("outside of the real ones" in line for line in age(looks(60, 1), made).said)


def test_too_few_ages_are_refused():
    with pytest.raises(EvaluationError, match="made: 19 of 19"):
        age(looks(60, 1), looks(19, 2))


def test_one_asked_age_is_refused():
    made = looks(30, 2)
    made.ages[:] = 40
    with pytest.raises(EvaluationError, match="asked to be 40 years old"):
        age(looks(60, 1), made)


def test_a_judge_that_sees_nothing_corrects_nothing():
    found = age(looks(80, 1, heard=0.0), looks(60, 2))
    assert "hardly sees age" in found.said[-1]
    assert not any(score.name == "age slope corrected" for score in found.scores)


def test_sites_are_told_apart_where_there_are_several():
    names = [s.name for s in age(looks(60, 1, sites=2), looks(40, 2, sites=2)).scores]
    assert "age mae [site=a]" in names
    assert "real age mae [site=b]" in names


# Sex


def test_sex_is_seen_in_real_and_made_volumes():
    found = sex(looks(80, 1), looks(60, 2))
    assert value(found, "real sex auc") > 0.9
    assert value(found, "sex accuracy") > 0.85


def test_sex_that_was_not_heard_is_a_guess():
    made = looks(60, 2)
    mixed = replace(made, sexes=tuple(np.random.default_rng(0).permutation(made.sexes).tolist()))
    assert value(sex(looks(80, 1), mixed), "sex auc") == pytest.approx(0.5, abs=0.2)


def test_one_sex_alone_is_refused():
    made = replace(looks(60, 2), sexes=("F",) * 60)
    with pytest.raises(EvaluationError, match="made: 0 volumes of sex M"):
        sex(looks(80, 1), made)


def test_auc_is_the_share_of_pairs_in_order():
    labels, values = np.array([0.0, 1, 1, 0]), np.array([1.0, 2, 1, 0])
    assert auc(labels, values) == (1 + 1 + 1 + 0.5) / 4
    assert np.isnan(auc(np.ones(3), np.arange(3.0)))


def test_looks_are_read_from_scans(heads):
    from brainweave.data.cohort import Cohort

    scans: Scans = open_sides({"real": Cohort.open(heads)})[0]["real"]
    found = Looks.of(scans, np.zeros((8, 2)))
    assert set(found.sexes) <= {"F", "M"}
    assert np.isfinite(found.ages).all()


def test_noise_tells_neither_age_nor_the_opposite_of_sex() -> None:
    random = np.random.default_rng(0)
    rs, areas = [], []
    for seed in range(12):
        rows, persons = random.normal(size=(40, 60)), [str(i) for i in range(40)]
        ages, sexes = random.uniform(20, 80, 40), random.permutation(np.repeat([0.0, 1.0], 20))
        rs.append(np.corrcoef(ages, predicted("ridge", rows, ages, persons, seed=seed))[0, 1])
        areas.append(auc(sexes, predicted("logistic", rows, sexes, persons, seed=seed)))
    assert abs(np.nanmean(rs)) < 0.12
    assert abs(np.mean(areas) - 0.5) < 0.08

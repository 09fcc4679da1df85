"""Frechet, kernel and MMD distances: known answers, reference packages, hard inputs."""

import json
from pathlib import Path

import numpy as np
import pytest

from brainweave.errors import EvaluationError
from brainweave.evaluation.distribution import (
    effective_dimension,
    frechet,
    frechet_infinity,
    kid,
    median_distance,
    mmd,
    mmd_test,
)

# written by benchmarks/evaluation_references.py from scipy, torchmetrics, prdc and medmetric
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "distribution.json").read_text())
CASES = pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"seed{case['seed']}")


def sides(seed: int, n: int, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """As in the script that wrote the golden numbers."""
    random = np.random.default_rng(seed)
    deviations = np.arange(1, d + 1) ** -0.5
    real = random.standard_normal((n, d)) * deviations
    return real, random.standard_normal((m, d)) * deviations * 1.1 + 0.1


def golden(case: dict) -> tuple[np.ndarray, np.ndarray]:
    return sides(case["seed"], case["n"], case["m"], case["d"])


@CASES
def test_frechet_equals_the_matrix_root_where_that_exists(case: dict) -> None:
    known = case["values"].get("frechet")
    if known is None:
        pytest.skip("singular covariances")
    assert abs(frechet(*golden(case)) - known) < 1e-6


@CASES
def test_kid_equals_torchmetrics(case: dict) -> None:
    known = case["values"].get("kid")
    if known is None:
        pytest.skip("torchmetrics takes equal numbers only")
    assert abs(kid(*golden(case)) - known) < 1e-9


def test_frechet_of_a_scaled_and_shifted_set_is_exact_with_singular_covariances() -> None:
    real, _ = sides(5, 20, 2, 50)
    deviation = np.sqrt(((real - real.mean(0)) ** 2).sum() / 19)
    expected = 50 * 0.3**2 + (0.5 * deviation) ** 2
    shifted = real.mean(0) + 1.5 * (real - real.mean(0)) + 0.3
    assert frechet(real, shifted) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("rows", [30, 200])
def test_frechet_of_a_set_with_itself_is_zero(rows: int) -> None:
    real, _ = sides(1, rows, 2, 60)
    assert frechet(real, real.copy()) < 1e-10


def test_frechet_does_not_feel_a_large_offset_of_both_sides() -> None:
    real, made = sides(2, 40, 50, 30)
    assert frechet(real + 1e6, made + 1e6) == pytest.approx(frechet(real, made), rel=1e-6)


def test_frechet_is_symmetric_and_does_not_feel_a_rotation() -> None:
    real, made = sides(3, 100, 25, 40)
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 40)))[0]
    value = frechet(real, made)
    assert frechet(made, real) == pytest.approx(value, rel=1e-10)
    assert frechet(real @ rotation, made @ rotation) == pytest.approx(value, rel=1e-10)


def test_frechet_takes_float32() -> None:
    real, made = sides(4, 30, 30, 10)
    single = frechet(real.astype(np.float32), made.astype(np.float32))
    assert single == pytest.approx(frechet(real, made), rel=1e-5)


def test_frechet_infinity_removes_the_bias_of_few_vectors() -> None:
    random = np.random.default_rng(0)
    real, made = random.standard_normal((2, 400, 16))
    made = made * 1.1
    made[:, 0] += 0.5
    true = 0.25 + 16 * 0.1**2
    assert abs(frechet_infinity(real, made) - true) < 0.15
    assert frechet(real, made) - true > 0.3


def test_frechet_infinity_refuses_too_few_vectors_with_a_reason() -> None:
    real, made = sides(0, 100, 100, 200)
    with pytest.raises(EvaluationError, match=r"100 vectors .* effective dimensions, which takes"):
        frechet_infinity(real, made)


def test_effective_dimension_counts_equal_axes() -> None:
    axes = np.concatenate([np.eye(7), -np.eye(7)])
    assert effective_dimension(axes) == pytest.approx(7)


def test_kid_over_subsets_of_everything_is_kid() -> None:
    real, made = sides(6, 30, 30, 8)
    value = kid(real, made, subsets=3, subset_size=30)
    assert value == pytest.approx(kid(real, made))


def test_kid_refuses_subsets_larger_than_a_side() -> None:
    real, made = sides(6, 30, 30, 8)
    with pytest.raises(EvaluationError, match="subsets of 1000 from 30 real"):
        kid(real, made, subsets=10)


def test_mmd_equals_the_double_loop() -> None:
    real, made = sides(7, 9, 7, 4)
    width = median_distance(real)

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * width**2)))

    within = np.mean([kernel(a, b) for a in real for b in real if a is not b])
    other = np.mean([kernel(a, b) for a in made for b in made if a is not b])
    across = np.mean([kernel(a, b) for a in real for b in made])
    # iterating an array makes a new row each time, so that every pair counts
    n, m = len(real), len(made)
    within, other = (within * n - 1) / (n - 1), (other * m - 1) / (m - 1)
    assert mmd(real, made) == pytest.approx(within + other - 2 * across, rel=1e-10)


def test_mmd_of_equal_distributions_lies_on_both_sides_of_zero() -> None:
    values = [mmd(*np.random.default_rng(seed).standard_normal((2, 30, 5))) for seed in range(40)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(40)


def test_mmd_measures_with_the_real_side() -> None:
    real, made = sides(8, 20, 20, 5)
    assert mmd(real, made) == mmd(real, made, bandwidth=median_distance(real))
    assert mmd(real, made) != pytest.approx(mmd(real, made, bandwidth=median_distance(made)))


def test_mmd_does_not_feel_a_large_offset() -> None:
    real, made = sides(9, 30, 30, 5)
    assert mmd(real + 1e5, made + 1e5) == pytest.approx(mmd(real, made), abs=1e-9)


def test_median_distance_refuses_one_volume_under_many_names() -> None:
    with pytest.raises(EvaluationError, match="most of the 6 real feature vectors are equal"):
        median_distance(np.ones((6, 3)))


def test_mmd_test_is_calibrated_and_sees_a_shift() -> None:
    chances = []
    for seed in range(40):
        real, made = np.random.default_rng(seed).standard_normal((2, 15, 4))
        chances.append(mmd_test(real, made, draws=99, seed=seed))
    assert 0.3 < np.mean(chances) < 0.7
    assert mmd_test(real, made + 2, draws=99) == 0.01


def test_mmd_test_moves_the_scans_of_a_person_together() -> None:
    persons = [str(index // 5) for index in range(20)]
    alone, together = [], []
    for seed in range(20):
        people = np.random.default_rng(seed).standard_normal((2, 4, 3))
        real, made = np.repeat(people, 5, axis=1)
        alone.append(mmd_test(real, made, draws=49))
        together.append(mmd_test(real, made, persons=(persons, persons), draws=49))
    assert np.median(alone) < 0.1  # twenty scans of four people are not twenty people
    assert 0.3 < np.mean(together) < 0.7


@pytest.mark.parametrize("distance", [frechet, kid, mmd])
def test_values_that_are_not_finite_are_refused(distance) -> None:  # type: ignore[no-untyped-def]
    real, made = sides(0, 5, 5, 3)
    made[2, 1] = np.nan
    with pytest.raises(EvaluationError, match="row 2 of the made feature vectors is not finite"):
        distance(real, made)


def test_one_vector_is_no_distribution() -> None:
    real, made = sides(0, 5, 1, 3)
    with pytest.raises(EvaluationError, match=r"1 made feature vector\(s\)"):
        frechet(real, made)


def test_exchanges_of_pooled_features_are_exact_where_one_side_is_small() -> None:
    random = np.random.default_rng(0)
    small = 0
    for seed in range(40):
        rows = random.standard_t(4, size=(60, 40))
        pooled = rows / rows.std(axis=0)
        p = mmd_test(
            pooled[:15], pooled[15:], bandwidth=median_distance(pooled), draws=99, seed=seed
        )
        small += p <= 0.1
    assert small <= 10

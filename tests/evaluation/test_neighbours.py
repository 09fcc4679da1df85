"""Precision, recall, density, coverage against the prdc package, formulas and hard inputs."""

import json
from pathlib import Path

import numpy as np
import pytest

from brainweave.errors import EvaluationError
from brainweave.evaluation import neighbours
from brainweave.evaluation.neighbours import neighbourhoods, prdc

# written by benchmarks/evaluation_references.py with prdc 0.2
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "distribution.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"seed{case['seed']}")
def test_all_four_equal_the_prdc_package(case: dict) -> None:
    random = np.random.default_rng(case["seed"])
    deviations = np.arange(1, case["d"] + 1) ** -0.5
    real = random.standard_normal((case["n"], case["d"])) * deviations
    made = random.standard_normal((case["m"], case["d"])) * deviations * 1.1 + 0.1
    found = prdc(real, made, case["k"])._asdict()
    assert found == pytest.approx({key: case["values"][key] for key in found}, abs=1e-12)


def test_blocks_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = np.random.default_rng(0).standard_normal((2, 50, 6))
    whole = neighbourhoods(real, made[:37])
    monkeypatch.setattr(neighbours, "BLOCK", 111)  # two or three rows at a time
    assert neighbourhoods(real, made[:37]) == whole


def test_several_k_in_one_pass_are_what_each_is_alone() -> None:
    real, made = np.random.default_rng(1).standard_normal((2, 40, 5))
    together = neighbourhoods(real, made, (10, 3, 5))
    assert together == {k: prdc(real, made, k) for k in (10, 3, 5)}


def test_copies_far_from_zero_are_at_distance_zero_and_rims_are_outside() -> None:
    real = np.random.default_rng(2).standard_normal((60, 4)) + 1e5
    found = prdc(real, real.copy(), 5)
    # each ball holds its centre and four of its five neighbours, the fifth lies on the rim
    assert found == (1.0, 1.0, 1.0, 1.0)


def test_coverage_of_equal_distributions_follows_the_formula() -> None:
    values = [
        prdc(*np.random.default_rng(seed).standard_normal((2, 100, 8)), 5) for seed in range(20)
    ]
    n, k = 100, 5
    expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    assert np.mean([value.coverage for value in values]) == pytest.approx(expected, abs=0.02)
    assert np.mean([value.density for value in values]) == pytest.approx(1, abs=0.1)


def test_few_repeated_vectors_are_precise_but_cover_little() -> None:
    random = np.random.default_rng(3)
    real, others = random.standard_normal((2, 60, 4))
    found = prdc(real, np.repeat(others[:3], 20, axis=0), 5)
    assert found.coverage < 0.5
    assert found.recall < 0.1


def test_k_as_large_as_a_side_is_refused() -> None:
    real, made = np.random.default_rng(0).standard_normal((2, 10, 3))
    with pytest.raises(EvaluationError, match="k = 3, 10 asked of 10 real and 10 made"):
        neighbourhoods(real, made, (3, 10))

"""Scores, and how persons are resampled."""

import numpy as np
import pytest

from brainweave.evaluation.base import Score, bootstrap, halves, subsets

PERSONS = ["a", "a", "b", "c", "c", "c", "d", "e", "f", "f"]


def test_a_number_that_is_not_finite_is_null_in_json() -> None:
    assert Score("psnr", float("inf"), n=3).to_dict()["value"] is None


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error() -> None:
    x = np.random.default_rng(0).normal(size=400)
    value, low, high = bootstrap(lambda i: float(x[i].mean()), [str(n) for n in range(400)])
    assert value == x.mean()
    assert (high - low) / 2 == pytest.approx(1.96 / np.sqrt(400), rel=0.1)


def test_scans_of_one_person_widen_the_interval() -> None:
    x = np.repeat(np.random.default_rng(0).normal(size=50), 4)
    alone = [str(n) for n in range(200)]
    together = [str(n // 4) for n in range(200)]
    widths = [np.ptp(bootstrap(lambda i: float(x[i].mean()), p)[1:]) for p in (alone, together)]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.2)


def test_nobody_is_in_both_halves_and_halves_are_equal() -> None:
    for a, b in halves(PERSONS, draws=50, seed=1):
        assert len(a) == len(b)
        assert not {PERSONS[i] for i in a} & {PERSONS[i] for i in b}


def test_a_subset_holds_nothing_twice() -> None:
    for chosen in subsets(PERSONS, 6, draws=20, seed=1):
        assert len(set(chosen.tolist())) == 6


def test_the_same_seed_draws_the_same() -> None:
    first, second = (list(subsets(PERSONS, 5, draws=3, seed=4)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))

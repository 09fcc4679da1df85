"""Splits are of persons, seeded, independent of order, and each covers the whole range."""

import math
import random

import pytest

from brainweave.data.cohort import Cohort, Subject
from brainweave.errors import CohortError

FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}


def cohort(count: int = 100, scans: int = 1) -> Cohort:
    return Cohort(
        Subject(f"p{person}_{scan}", f"p{person}", covariates={"age": 20.0 + person + scan / 9})
        for person in range(count)
        for scan in range(scans)
    )


def splits(cohort: Cohort) -> dict[str, str | None]:
    return {subject.id: subject.split for subject in cohort}


def test_no_person_is_in_two_splits() -> None:
    split = cohort(30, scans=4).split(FRACTIONS, seed=1)
    assert len({(s.subject, s.split) for s in split}) == 30


def test_fractions_are_of_persons() -> None:
    split = cohort(50, scans=2).split(FRACTIONS, seed=1)
    assert [len(split.select(split=name)) for name in FRACTIONS] == [80, 10, 10]


def test_a_seed_names_a_split() -> None:
    assert cohort().split(FRACTIONS, seed=3) == cohort().split(FRACTIONS, seed=3)


def test_another_seed_is_another_split() -> None:
    assert cohort().split(FRACTIONS, seed=3) != cohort().split(FRACTIONS, seed=4)


def test_the_order_of_rows_changes_no_split() -> None:
    rows = list(cohort(40, scans=2))
    random.Random(0).shuffle(rows)
    assert splits(Cohort(rows).split(FRACTIONS, 5)) == splits(
        cohort(40, scans=2).split(FRACTIONS, 5)
    )


def test_the_order_of_fractions_changes_no_split() -> None:
    turned = dict(reversed(FRACTIONS.items()))
    assert cohort().split(turned, seed=5) == cohort().split(FRACTIONS, seed=5)


@pytest.mark.parametrize("seed", range(5))
def test_every_split_has_a_person_in_each_part_of_the_range(seed: int) -> None:
    val = cohort().split(FRACTIONS, seed).select(split="val")
    ages = sorted(float(s.covariates["age"]) for s in val)
    # ten persons: one near each tenth of the hundred ages, a few places apart at most
    assert all(abs(age - (25 + 10 * rank)) < 10 for rank, age in enumerate(ages))


def test_every_split_has_its_share_of_a_category() -> None:
    rows = (Subject(str(i), covariates={"sex": "F" if i < 20 else "M"}) for i in range(40))
    val = Cohort(rows).split({"train": 0.5, "val": 0.5}, seed=0, by="sex").select(split="val")
    assert abs(len(val.select(sex="F")) - 10) <= 1


def test_a_person_counts_with_the_mean_of_their_scans() -> None:
    rows = [
        Subject(f"{scan}{i}", str(i), covariates={"age": float(age)})
        for i in range(40)
        for scan, age in (("x", 100 - 2 * i), ("y", 4 * i))
    ]
    mean = [Subject(str(i), covariates={"age": 50.0 + i}) for i in range(40)]
    person = {s.subject: s.split for s in Cohort(rows).split(FRACTIONS, 0)}
    assert person == splits(Cohort(mean).split(FRACTIONS, 0))


def test_missing_values_are_spread_over_the_splits() -> None:
    rows = (
        Subject(str(i), covariates={"age": float(i) if i < 50 else math.nan}) for i in range(100)
    )
    val = Cohort(rows).split({"train": 0.5, "val": 0.5}, seed=0).select(split="val")
    assert abs(sum(math.isnan(float(s.covariates["age"])) for s in val) - 25) <= 1


def test_a_cohort_without_covariates_splits_by_none() -> None:
    split = Cohort(Subject(str(i)) for i in range(4)).split({"a": 0.5, "b": 0.5}, 0, by=None)
    assert sorted(str(s.split) for s in split) == ["a", "a", "b", "b"]


def test_an_unknown_covariate_names_the_nearest() -> None:
    with pytest.raises(CohortError, match="no covariate 'agee' to split by; did you mean 'age'"):
        cohort().split(FRACTIONS, 0, by="agee")


@pytest.mark.parametrize(
    "fractions", [{}, {"a": 0.5, "b": 0.4}, {"a": 1.2, "b": -0.2}, {"a": math.nan, "b": 1.0}]
)
def test_fractions_that_are_not_shares_of_one_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(CohortError, match="must be positive and sum to 1"):
        cohort().split(fractions, 0)


def test_fractions_may_be_rounded() -> None:
    thirds = {"a": 0.3333333, "b": 0.3333333, "c": 0.3333333}
    assert len(cohort(9).split(thirds, 0).select(split="a")) == 3


def test_a_cohort_too_small_for_a_split_says_what_suffices() -> None:
    with pytest.raises(CohortError, match=r"4 persons leave 'val' empty .* 10 suffice"):
        cohort(4).split(FRACTIONS, 0)

"""Patterns of missing values: what is hidden so that what is heard does not tell the site."""

import math
import random
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from brainweave.data.cohort import Subject
from brainweave.data.patterns import Patterns, Swap
from brainweave.errors import CohortError

Pattern = tuple[bool, ...]


def values(**known: float | bool) -> dict[str, Tensor]:
    """Of a volume: numbers, True for one that is known."""
    return {n: torch.tensor([1.0 if k is True else k or math.nan]) for n, k in known.items()}


def cohort(count: int) -> tuple[list[dict[str, Tensor]], list[str]]:
    """Two sites that know different things, and at both what is known of one depends on another."""
    draw = random.Random(0).random
    found, sites = [], []
    for _ in range(count):
        if draw() < 0.5:
            age, school = draw() < 0.95, draw() < 0.6
            found.append(values(age=age, sex=age or draw() < 0.5, school=school))
            sites.append("A")
        else:
            age = draw() < 0.5
            found.append(values(age=age, sex=draw() < 0.8, school=not age and draw() < 0.5))
            sites.append("B")
    return found, sites


def heard(shown: dict[str, Tensor]) -> Pattern:
    return tuple(not bool(value.isnan()) for value in shown.values())


def auc(patterns: list[Pattern], sites: list[str]) -> float:
    """Of the best classifier of sites by patterns: it learns from one half how often each pattern
    is of A, and ranks the other half."""
    half = len(patterns) // 2
    seen = Counter(zip(patterns[:half], sites[:half], strict=True))
    share = {p: seen[p, "A"] / (seen[p, "A"] + seen[p, "B"]) for p, _ in seen}
    ranks = {s: Counter[float]() for s in "AB"}
    for pattern, site in zip(patterns[half:], sites[half:], strict=True):
        ranks[site][share.get(pattern, 0.5)] += 1
    pairs = [(a, b, ranks["A"][a] * ranks["B"][b]) for a in ranks["A"] for b in ranks["B"]]
    won = sum(n * (1.0 if a > b else 0.5 if a == b else 0.0) for a, b, n in pairs)
    return won / sum(n for _, _, n in pairs)


@cache
def drawn(share: float | None) -> tuple[list[Pattern], list[str]]:
    """Patterns of 2000 volumes, each seen four times, and their sites."""
    found, sites = cohort(2000)
    if share is None:
        return [heard(v) for v in found] * 4, sites * 4
    patterns = Patterns(found, sites, share)
    shown = [heard(patterns.shown(i, 2000 * e + i)) for e in range(4) for i in range(2000)]
    return shown, sites * 4


def test_patterns_tell_the_site_before() -> None:
    assert auc(*drawn(None)) > 0.85


def test_what_is_heard_does_not_tell_the_site() -> None:
    assert auc(*drawn(1.0)) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_share_leaves_the_rest_of_the_difference(share: float) -> None:
    def apart(patterns: list[Pattern], sites: list[str]) -> float:
        counts = Counter(zip(sites, patterns, strict=True))
        a, b = (
            {p: n / sites.count(site) for (s, p), n in counts.items() if s == site} for site in "AB"
        )
        return sum(abs(a.get(p, 0) - b.get(p, 0)) for p in {*a, *b}) / 2

    assert apart(*drawn(share)) == pytest.approx((1 - share) * apart(*drawn(None)), abs=0.03)


def test_every_value_is_still_heard() -> None:
    patterns, _ = drawn(1.0)
    shares = [sum(column) / len(patterns) for column in zip(*patterns, strict=True)]
    assert min(shares) > 0.2


def test_what_all_sites_know_alike_stays() -> None:
    found = [values(age=True, sex=True), values(age=True, sex=False)] * 8
    patterns = Patterns(found, ["A", "A", "B", "B"] * 4)
    for index in range(4):
        assert all(heard(patterns.shown(index, s)) == heard(found[index]) for s in range(9))


def test_what_is_missing_is_never_heard() -> None:
    found, sites = cohort(200)
    patterns = Patterns(found, sites)
    for index in range(200):
        for known, shown in zip(heard(found[index]), heard(patterns.shown(index, 1)), strict=True):
            assert known or not shown


def test_values_that_are_heard_are_as_they_were() -> None:
    found = [values(age=30.0, sex=True), values(age=50.0, sex=False)] * 2
    patterns = Patterns(found, ["A", "A", "B", "B"])
    for seed in range(20):
        age = float(patterns.shown(1, seed)["age"])
        assert age == 50.0 or math.isnan(age)


def test_a_value_that_one_site_never_has_is_heard_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = [values(age=True, iq=True), values(age=True, iq=False)] * 20
    patterns = Patterns(found, ["A", "B"] * 20)
    assert "iq is never known of B: hearing it tells so" in caplog.text
    assert all(heard(patterns.shown(0, seed)) == (True, True) for seed in range(20))


def test_the_same_seed_hides_the_same() -> None:
    found, sites = cohort(50)
    patterns = Patterns(found, sites)
    for index in range(50):
        assert heard(patterns.shown(index, 7)) == heard(patterns.shown(index, 7))
    assert len({heard(patterns.shown(0, seed)) for seed in range(50)}) > 1


def test_groups_are_the_values_of_a_covariate(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    sites = ["A", "A", "B", "B"]
    people = [
        Subject(id=f"s{i}", images={"t1w": Path("s")}, covariates={"site": site})
        for i, site in enumerate(sites)
    ]
    found = [values(age=True), values(age=True), values(age=True), values(age=False)]
    one, other = Swap().of(found, people), Patterns(found, sites)
    assert all(heard(one.shown(0, s)) == heard(other.shown(0, s)) for s in range(20))
    assert "% of what is known of a volume is heard" in caplog.text
    with pytest.raises(CohortError, match="nobody has a 'scanner', which"):
        Swap(by="scanner").of(found, people)

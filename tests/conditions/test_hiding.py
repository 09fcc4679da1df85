"""Hiding: which conditions are heard, and what models learn under it where that is solvable."""

import math

import pytest
import torch
from torch import Tensor

from brainweave.conditions import Binary, Choice, Continuous, Images, Scalar
from brainweave.conditions.hiding import drawn, heard
from brainweave.data.patterns import Patterns
from brainweave.processes import exact, grids
from brainweave.processes.paths import Rectified
from brainweave.processes.samplers import euler

AGE = Continuous(name="age", low=20, high=80)
SITE = Choice(name="site", values=("A", "B"), nuisance=True)
MODALITY = Choice(name="modality", values=("t1w", "t2w"), hide=0.0)
COUNT = 40_000


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def share(keep: Tensor) -> float:
    return float(keep.float().mean())


# Which are heard


def test_a_field_is_hidden_as_often_as_it_says_and_all_together() -> None:
    keep = drawn((AGE, AGE.replace(name="iq", hide=0.3), SITE), 0.1, COUNT, source())
    assert share(keep["age"]) == pytest.approx(0.9 * 0.9, abs=0.01)
    assert share(keep["iq"]) == pytest.approx(0.9 * 0.7, abs=0.01)
    assert share(keep["site"]) == pytest.approx(0.9 * 0.5, abs=0.01)
    nothing = ~(keep["age"] | keep["iq"] | keep["site"])
    assert share(nothing) == pytest.approx(0.1 + 0.9 * 0.1 * 0.3 * 0.5, abs=0.01)


def test_a_condition_that_is_never_hidden_is_heard_where_nothing_else_is() -> None:
    keep = drawn((AGE, MODALITY), 0.4, 1000, source())
    assert keep["modality"].all()
    assert not keep["age"].all()
    free = heard((AGE, MODALITY), 2, [])
    assert free["modality"].all()
    assert not free["age"].any()


def test_what_is_hidden_follows_from_the_generator() -> None:
    one, other = (drawn((AGE, SITE), 0.3, 100, source(5)) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_conditions_of_older_recipes_draw_as_they_did() -> None:
    conditions = (Scalar(name="age", low=0, high=1), Images(modalities=("t2w",)))
    keep = drawn(conditions, 0.2, 64, source(3))
    kept = torch.rand(3, 64, generator=source(3)) >= 0.2
    assert torch.equal(keep["age"], kept[0] & kept[1])
    assert torch.equal(keep["images"], kept[0] & kept[2])


# What is learnt, where the data are Gaussian and the best model is least squares


def people() -> tuple[Tensor, Tensor, Tensor]:
    """Age and sex, independent, and an x that they decide up to noise of 0.5."""
    age, sex, noise = torch.randn(3, COUNT, generator=source(), dtype=torch.float64)
    sex = sex.sign()
    return age, sex, 1 + 0.8 * age + 0.6 * sex + 0.5 * noise


def fitted(x: Tensor, *columns: Tensor) -> tuple[Tensor, float]:
    """Least squares with a constant: coefficients, the constant first, and what is left."""
    table = torch.stack([torch.ones_like(x), *columns], dim=1)
    found = torch.linalg.lstsq(table, x[:, None]).solution[:, 0]
    return found, float((x - table @ found).std())


def sampled(mean: float, sd: float) -> Tensor:
    """Draws of a model that knows the best estimate of a Gaussian."""
    path, noise = Rectified(), torch.randn(1, 1, 50_000, generator=source(9), dtype=torch.float64)
    return euler(exact.denoiser(path, mean, sd), noise, grids.uniform(100), path=path)


def test_hearing_nothing_reproduces_the_marginal() -> None:
    _, _, x = people()
    keep = drawn((AGE, Binary(name="sex")), 0.1, COUNT, source(1))
    nothing = ~keep["age"] & ~keep["sex"]
    (mean,), sd = fitted(x[nothing])
    made = sampled(float(mean), sd)
    assert float(made.mean()) == pytest.approx(1, abs=0.05)
    assert float(made.std()) == pytest.approx(math.sqrt(0.8**2 + 0.6**2 + 0.5**2), abs=0.05)


def test_hearing_one_field_reproduces_what_is_left_given_it() -> None:
    age, _, x = people()
    keep = drawn((AGE, Binary(name="sex")), 0.1, COUNT, source(1))
    only = keep["age"] & ~keep["sex"]
    (mean, slope), sd = fitted(x[only], age[only])
    made = sampled(float(mean + 1.5 * slope), sd)
    assert float(made.mean()) == pytest.approx(1 + 0.8 * 1.5, abs=0.06)
    assert float(made.std()) == pytest.approx(math.sqrt(0.6**2 + 0.5**2), abs=0.05)


def test_missing_that_tells_the_site_spoils_the_marginal_and_swapping_mends_it() -> None:
    """Site A (x around 2) mostly knows the age, B (around -2) mostly does not."""
    count = 8000
    draw = torch.rand(count, generator=source(2))
    at_a = torch.arange(count) % 2 == 0
    known = draw < torch.where(at_a, 0.9, 0.3)
    x = torch.where(at_a, 2.0, -2.0) + torch.randn(count, generator=source(3))
    keep = drawn((AGE,), 0.1, count, source(4))["age"]
    ages = [{"age": torch.tensor([1.0 if k else math.nan])} for k in known.tolist()]
    patterns = Patterns(ages, ["A" if a else "B" for a in at_a.tolist()])
    shown = [not bool(patterns.shown(i, i)["age"].isnan()) for i in range(count)]
    before, after = x[~(keep & known)], x[~(keep & torch.tensor(shown))]
    assert float(before.mean()) < -0.8
    assert float(after.mean()) == pytest.approx(float(x.mean()), abs=0.1)
    assert float(after.std()) == pytest.approx(float(x.std()), abs=0.05)


@pytest.mark.parametrize("hide", [0.0, 0.6])
def test_hiding_one_field_does_not_change_the_effect_of_another(hide: float) -> None:
    age, sex, x = people()
    fields = (AGE.replace(hide=0.1), Binary(name="sex", hide=hide))
    keep = drawn(fields, 0.0, COUNT, source(6))
    columns = []
    for name, value in (("age", age), ("sex", sex)):
        known = keep[name].to(value)
        columns += [known * value, 1 - known][: 1 if known.all() else 2]
    found, _ = fitted(x, *columns)
    assert float(found[1]) == pytest.approx(0.8, abs=0.02)

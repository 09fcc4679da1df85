"""Numbers and intervals: what they say to a network, from exact to nothing."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from brainweave.conditions import Continuous
from brainweave.conditions.continuous import interval_fourier
from brainweave.data.cohort import Subject
from brainweave.errors import ConditionError, RecipeError

AGE = Continuous(name="age", unit="years", low=20, high=80, columns=("age_group",), tokens=2)
FIELD = Continuous(name="field", low=1.5, high=7, log=True)


def embedder(condition: Continuous) -> nn.Module:
    torch.manual_seed(0)
    module = condition.embedder(8)
    nn.init.normal_(module.null)  # as after training
    return module


def vector(condition: Continuous, low: float, high: float) -> Tensor:
    with torch.no_grad():
        signal = embedder(condition)(torch.tensor([[low, high]]), torch.tensor([True]))
    return signal.vector[0]


# What the network hears


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (0.2, 0.3), (0.1, 0.9), (-2.0, 3.0)])
def test_features_are_means_over_the_interval(low: float, high: float) -> None:
    ends = (torch.tensor([low], dtype=torch.float64), torch.tensor([high], dtype=torch.float64))
    count = 40_001
    draws = torch.linspace(0.5, count - 0.5, count, dtype=torch.float64) / count
    x = low + (high - low) * draws
    waves = math.pi * torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    angles = x[:, None] * waves
    means = torch.cat([angles.sin().mean(0), angles.cos().mean(0)])
    torch.testing.assert_close(interval_fourier(*ends, 4)[0], means, rtol=0, atol=1e-6)


def test_features_of_width_0_are_those_of_the_number_exactly() -> None:
    x = torch.tensor([0.0, 0.37, 1.0])
    angles = x[:, None] * math.pi * torch.tensor([1.0, 2.0, 4.0])
    assert torch.equal(interval_fourier(x, x, 3), torch.cat([angles.sin(), angles.cos()], dim=1))


def test_features_vanish_as_the_interval_widens() -> None:
    low = torch.tensor([-1e3, -1e4, -1e5])
    size = interval_fourier(low, -low + 1, 4).abs().amax(1)
    assert size[0] < 1e-3
    assert size[2] < 1e-5


def test_an_interval_of_width_0_is_the_number() -> None:
    assert AGE.parse("60-60") == AGE.parse(60.0) == AGE.parse("60")


@pytest.mark.parametrize("condition", [AGE, FIELD], ids=["linear", "log"])
def test_an_interval_that_narrows_becomes_the_number(condition: Continuous) -> None:
    exact = vector(condition, 3.0, 3.0) if condition is FIELD else vector(condition, 50.0, 50.0)
    middle, whole = (3.0, 5.5) if condition is FIELD else (50.0, 60.0)
    errors = [
        float((vector(condition, middle - h, middle + h) - exact).abs().max())
        for h in (whole / 1e2, whole / 1e4, whole / 1e6)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3


def test_the_whole_range_is_the_null_exactly() -> None:
    assert torch.equal(vector(AGE, 20.0, 80.0), embedder(AGE).null.detach())
    assert torch.equal(vector(FIELD, 1.5, 7.0), embedder(FIELD).null.detach())


def test_an_interval_that_widens_becomes_the_null() -> None:
    null = embedder(AGE).null.detach()
    gaps = [0.0, 1e-4, 1e-2, 1.0]
    errors = [float((vector(AGE, 20.0 + gap, 80.0) - null).abs().max()) for gap in gaps]
    assert errors == sorted(errors)
    assert errors[1] < 1e-4


def test_an_interval_is_neither_its_middle_nor_the_null() -> None:
    wide, exact = vector(AGE, 60.0, 70.0), vector(AGE, 65.0, 65.0)
    null = embedder(AGE).null.detach()
    assert (wide - exact).abs().max() > 0.01
    assert (wide - null).abs().max() > 0.01


def test_a_number_is_heard_alike_whatever_its_neighbours() -> None:
    values = torch.tensor([[50.0, 50.0], [math.nan, math.nan], [20.0, 80.0]])
    with torch.no_grad():
        signal = embedder(AGE)(values, torch.tensor([True, True, True]))
    torch.testing.assert_close(signal.vector[0], vector(AGE, 50.0, 50.0))
    assert torch.equal(signal.vector[1], signal.vector[2])
    assert torch.equal(signal.tokens[1], signal.tokens[2])


def test_on_a_logarithmic_scale_equal_ratios_are_equal_steps() -> None:
    placed = FIELD.replace(low=1, high=16)._placed(torch.tensor([[1.0, 4.0], [4.0, 16.0]]))
    torch.testing.assert_close(placed, torch.tensor([[0.0, 0.5], [0.5, 1.0]]))


@pytest.mark.parametrize("condition", [AGE, FIELD], ids=["linear", "log"])
def test_a_missing_value_leaves_gradients_finite(condition: Continuous) -> None:
    module = embedder(condition)
    values = torch.tensor([[math.nan, math.nan], [2.0, 3.0]])
    module(values, torch.tensor([True, True])).vector.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in module.parameters() if p.grad is not None)


# What a subject or a user says


@pytest.mark.parametrize(
    ("word", "value", "shown"),
    [
        ("60-65", (60.0, 65.0), "60-65"),
        (">70", (70.0, 80.0), ">70"),
        ("70+", (70.0, 80.0), ">70"),
        ("<30", (20.0, 30.0), "<30"),
        ("10-30", (20.0, 30.0), "<30"),
        ("0-200", (20.0, 80.0), "20-80"),
        (55.5, (55.5, 55.5), 55.5),
    ],
)
def test_a_word_is_cut_to_the_range_and_shown_again(word, value, shown) -> None:
    assert AGE.parse(word) == value
    assert AGE.show(value) == shown
    assert AGE.parse(shown) == value


def test_exact_ages_and_intervals_live_in_one_column() -> None:
    said = ["34.2", "60-65", ">70", "n/a"]
    subjects = [Subject(id="s", images={"t1w": Path("s")}, covariates={"age": w}) for w in said]
    values = torch.stack([AGE.read(subject) for subject in subjects])
    expected = torch.tensor([[34.2, 34.2], [60, 65], [70, 80], [math.nan, math.nan]])
    torch.testing.assert_close(values, expected, equal_nan=True)


def test_a_group_of_ages_tells_where_there_is_no_age() -> None:
    assert AGE.known({"age": "n/a", "age_group": "60-65"}) == (60, 65)
    assert AGE.known({"age": 61.0, "age_group": "60-65"}) == (61, 61)


@pytest.mark.parametrize("age", ["60", "65", "65.9", "58-61"])
def test_an_age_of_its_group_is_no_contradiction(age: str) -> None:
    assert AGE.known({"age": age, "age_group": "60-65"})


@pytest.mark.parametrize("age", ["59.9", "66", "20-30"])
def test_an_age_outside_of_its_group_is_refused_in_one_line(age: str) -> None:
    line = f"age={age} and age_group=60-65 contradict each other; leave one out"
    with pytest.raises(ConditionError, match=line):
        AGE.known({"age": age, "age_group": "60-65"})
    with pytest.raises(ConditionError, match=line):
        AGE.wanted({"age": age, "age_group": "60-65"})


@pytest.mark.parametrize("word", ["old", "inf", "65-60"])
def test_a_word_that_is_no_number_is_refused(word: str) -> None:
    with pytest.raises(ConditionError, match=f"age={word}: a number, an interval such as 60-65"):
        AGE.parse(word)


def test_a_word_that_is_no_number_is_not_known_in_a_cohort_and_told() -> None:
    assert AGE.show(AGE.known({"age": "old"})) is None
    assert AGE.unknown({"age": "old", "age_group": "60-65"}) == ("old",)


@pytest.mark.parametrize("word", ["19", "81", "90-95", ">80"])
def test_what_lies_outside_the_range_is_refused(word: str) -> None:
    with pytest.raises(ConditionError, match="outside the trained 20 to 80; --extrapolate"):
        AGE.parse(word)
    subject = Subject(id="s1", images={"t1w": Path("s")}, covariates={"age": word})
    with pytest.raises(ConditionError, match=r"'s1'.*outside the trained 20 to 80$"):
        AGE.read(subject)


def test_a_number_outside_is_taken_when_extrapolating() -> None:
    assert AGE.parse("95", extrapolate=True) == (95, 95)


def test_a_word_of_ones_own_may_stand_for_an_interval() -> None:
    adult = AGE.replace(aliases={"Adult": "18-65", "secret": "n/a"})
    assert adult.parse("adult") == (20, 65)
    assert adult.show(adult.parse("secret")) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 80}, "low 80 must be below high 80"),
        ({"low": 0, "log": True}, "a logarithm needs low above 0"),
        ({"aliases": {"adult": "grown"}}, "alias 'adult' stands for the unknown 'grown'"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        AGE.replace(**change)


def test_covering_is_lying_within() -> None:
    assert AGE.covers((60.0, 70.0), (65.0, 65.0))
    assert AGE.covers((60.0, 70.0), (60.0, 70.0))
    assert not AGE.covers((60.0, 70.0), (65.0, 75.0))
    assert not AGE.covers((60.0, 70.0), AGE.absent)

"""Covariates: what is said, what is not known, what cannot be said."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from brainweave.conditions import Category, Scalar, Signal
from brainweave.conditions.base import Condition
from brainweave.data.cohort import Subject
from brainweave.errors import ConditionError, RecipeError

AGE = Scalar(name="age", low=20, high=80, tokens=3)
SEX = Category(name="sex", values=("F", "M"), tokens=2)
both = pytest.mark.parametrize("condition", [AGE, SEX], ids=["scalar", "category"])


def subject(**covariates: float | str) -> Subject:
    return Subject(id="s1", images={"t1w": Path("s1.nii.gz")}, covariates=covariates)


def embedder(condition: Condition) -> nn.Module:
    torch.manual_seed(0)
    module = condition.embedder(8)
    nn.init.normal_(module.null)  # as after training
    return module


def heard(condition: Condition, value: float, *, keep: bool = True) -> Signal:
    with torch.no_grad():
        return embedder(condition)(torch.tensor([[value]]), torch.tensor([keep]))


def same(a: Signal, b: Signal) -> bool:
    assert a.vector is not None
    assert b.vector is not None
    return torch.equal(a.vector, b.vector) and torch.equal(tokens(a), tokens(b))


def tokens(signal: Signal) -> Tensor:
    assert signal.tokens is not None
    return signal.tokens


# What the network hears


@both
def test_a_hidden_value_is_heard_as_a_missing_one(condition):
    assert same(heard(condition, 1.0, keep=False), heard(condition, math.nan))


@both
def test_a_missing_value_is_heard_as_the_learned_null(condition):
    vector = heard(condition, math.nan).vector
    assert torch.equal(vector[0], embedder(condition).null.detach())


@both
def test_two_values_are_heard_differently(condition):
    assert not same(heard(condition, 0.0), heard(condition, 1.0))


@both
def test_a_known_value_is_not_heard_as_the_null(condition):
    assert not same(heard(condition, 1.0), heard(condition, math.nan))


@both
def test_without_a_learned_null_a_missing_value_adds_nothing(condition):
    module = condition.replace(learned_null=False, tokens=1).embedder(8)
    signal = module(torch.tensor([[math.nan]]), torch.tensor([True]))
    assert not signal.vector.any()
    assert not signal.tokens.any()


@both
def test_it_says_as_many_tokens_as_asked_for(condition):
    assert tokens(heard(condition, 1.0)).shape == (1, condition.tokens, 8)


@both
def test_one_token_is_the_vector(condition):
    signal = heard(condition.replace(tokens=1), 1.0)
    assert torch.equal(tokens(signal)[:, 0], signal.vector)


@both
def test_a_volume_hears_its_own_value_whatever_its_neighbours_hear(condition):
    values, keep = torch.tensor([[0.0], [math.nan], [1.0]]), torch.tensor([True, True, True])
    with torch.no_grad():
        signal = embedder(condition)(values, keep)
    torch.testing.assert_close(signal.vector[2:], heard(condition, 1.0).vector)


@both
def test_a_missing_value_leaves_gradients_finite(condition):
    module = embedder(condition)
    module(torch.tensor([[math.nan]]), torch.tensor([True])).vector.sum().backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_numbers_are_shown_on_0_to_1():
    layers = nn.Identity()
    values = AGE.embed(layers, torch.tensor([[20.0], [50.0], [80.0]]))
    assert values.flatten().tolist() == [0.0, 0.5, 1.0]


# What a subject or a user says


def test_a_number_is_read_as_it_stands():
    assert AGE.read(subject(age=44.5)).tolist() == [44.5]


@both
def test_what_a_subject_lacks_is_read_as_not_known(condition):
    assert math.isnan(condition.read(subject()).item())


@both
@pytest.mark.parametrize("word", ["n/a", "NA", "nan", "", math.nan])
def test_every_spelling_of_missing_is_not_known(condition, word):
    assert math.isnan(condition.parse(word)[0])


@pytest.mark.parametrize("word", ["F", "f", "female", "Female", "FEMALE"])
def test_sex_has_many_spellings(word):
    assert SEX.parse(word) == (0.0,)


def test_a_subject_whose_number_is_a_text_is_named():
    with pytest.raises(ConditionError, match=r"'s1'.*age.*old"):
        AGE.read(subject(age="old"))


def test_a_subject_of_an_unknown_category_is_named():
    with pytest.raises(ConditionError, match=r"'s1'.*unknown"):
        SEX.read(subject(sex="X"))


def test_an_unknown_category_is_refused_with_the_nearest():
    site = Category(name="site", values=("Guys", "HH", "IOP"))
    with pytest.raises(ConditionError, match="did you mean 'Guys'"):
        site.parse("Guy")


def test_an_unknown_category_like_none_is_refused_with_all_there_are():
    with pytest.raises(ConditionError, match="known: F, M"):
        SEX.parse("other")


@pytest.mark.parametrize("age", ["19.9", "80.1", "-3"])
def test_a_number_outside_of_what_was_trained_is_refused(age):
    with pytest.raises(ConditionError, match="20 to 80"):
        AGE.parse(age)


def test_a_number_outside_is_taken_when_extrapolating():
    assert AGE.parse("95", extrapolate=True) == (95.0,)


def test_the_ends_of_the_range_are_inside():
    assert (AGE.parse("20"), AGE.parse("80")) == ((20.0,), (80.0,))


@pytest.mark.parametrize("word", ["old", "inf"])
def test_a_word_is_no_number(word):
    with pytest.raises(ConditionError, match="number or n/a"):
        AGE.parse(word, extrapolate=True)


@both
def test_what_is_parsed_is_shown_again(condition):
    word = "M" if condition is SEX else 63.5
    assert condition.show(condition.parse(word)) == word


@both
def test_not_known_is_shown_as_none(condition):
    assert condition.show((math.nan,)) is None


def test_an_empty_range_is_refused():
    with pytest.raises(RecipeError, match="below"):
        Scalar(name="age", low=5, high=5)


@pytest.mark.parametrize("name", ["", "a.b", "training", "values", "type", "forward"])
def test_a_name_that_no_module_can_have_is_refused(name):
    with pytest.raises(RecipeError, match="name: this word is taken or has a dot"):
        Scalar(name=name, low=0, high=1)

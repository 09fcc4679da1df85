"""Fields of names: words in, words out, what is unknown, what a network hears of an order."""

import math

import pytest
import torch

from brainweave.conditions import Binary, Choice, Ordinal, SetOf
from brainweave.errors import ConditionError, RecipeError

SEX = Choice(name="sex", values=("F", "M"), aliases={"1": "M", "2": "F", "9": "n/a"})
GRADE = Ordinal(name="grade", values=("low", "middle", "high"))
TUMOUR = Binary(name="tumour", aliases={"glioma": "yes"})
ILLS = SetOf(name="ills", values=("stroke", "epilepsy"), aliases={"CVA": "stroke", "well": "none"})


@pytest.mark.parametrize("word", ["M", "m", "male", "Male", "1", 1.0])
def test_a_choice_has_many_words(word: str | float) -> None:
    assert SEX.parse(word) == (1.0,)


@pytest.mark.parametrize("word", ["yes", "Y", "1", "true", "glioma", 1.0])
def test_yes_has_many_words(word: str | float) -> None:
    assert TUMOUR.parse(word) == (1.0,)
    assert TUMOUR.show((1.0,)) == "yes"


@pytest.mark.parametrize("word", ["no", "0", "False", "none"])
def test_no_has_many_words(word: str) -> None:
    assert TUMOUR.show(TUMOUR.parse(word)) == "no"


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("stroke;epilepsy", "stroke;epilepsy"),
        ("Epilepsy | CVA", "stroke;epilepsy"),
        ("stroke", "stroke"),
        ("none", "none"),
        ("well", "none"),
    ],
)
def test_a_list_is_read_in_any_order(word: str, shown: str) -> None:
    assert ILLS.show(ILLS.parse(word)) == shown


def test_nothing_of_a_list_is_not_the_same_as_not_known() -> None:
    assert ILLS.parse("none") == (0.0, 0.0)
    assert math.isnan(ILLS.parse("n/a")[0])


@pytest.mark.parametrize("condition", [SEX, GRADE, TUMOUR, ILLS], ids=lambda c: c.name)
def test_an_unknown_word_is_not_known_in_a_cohort_and_told(condition) -> None:
    assert condition.show(condition.known({condition.name: "what"})) is None
    assert condition.unknown({condition.name: "what"}) == ("what",)


def test_a_word_that_stands_for_missing_is_missing_and_not_unknown() -> None:
    assert SEX.show(SEX.known({"sex": "9"})) is None
    assert SEX.unknown({"sex": "9"}) == ()


def test_an_unknown_name_of_a_list_leaves_the_others() -> None:
    assert ILLS.known({"ills": "stroke;gout"}) == (1.0, 0.0)
    assert ILLS.unknown({"ills": "stroke;gout"}) == ("gout",)


@pytest.mark.parametrize(
    ("condition", "word", "message"),
    [
        (SEX, "X", "sex=X is unknown; known: F, M"),
        (GRADE, "hihg", "grade=hihg is unknown; did you mean 'high'"),
        (TUMOUR, "maybe", "tumour=maybe: yes, no or n/a is needed"),
        (ILLS, "stroke;gout", "ills=gout is unknown; known: epilepsy, none, stroke"),
    ],
)
def test_an_unknown_word_of_a_user_is_refused_with_a_hint(condition, word, message) -> None:
    with pytest.raises(ConditionError, match=message):
        condition.parse(word)


def test_columns_that_disagree_are_refused() -> None:
    both = SEX.replace(columns=("sex_at_birth",))
    assert both.known({"sex": "n/a", "sex_at_birth": "female"}) == (0.0,)
    with pytest.raises(ConditionError, match="sex=M and sex_at_birth=F contradict"):
        both.known({"sex": "M", "sex_at_birth": "F"})


def test_neighbours_in_an_order_differ_by_one_step() -> None:
    layers = torch.nn.Linear(2, 4)
    low, middle, high = GRADE.embed(layers, torch.tensor([[0.0], [1.0], [2.0]]))
    torch.testing.assert_close(low, layers.bias)
    torch.testing.assert_close(middle - low, layers.weight[:, 0])
    torch.testing.assert_close(high - middle, layers.weight[:, 1])


def test_a_list_is_heard_as_the_sum_of_its_names() -> None:
    layers = torch.nn.Linear(2, 4)
    values = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    none, first, second, both = ILLS.embed(layers, values)
    torch.testing.assert_close(both - none, (first - none) + (second - none))


def test_a_nuisance_is_hidden_more_often() -> None:
    assert SEX.hiding is None
    assert SEX.replace(nuisance=True).hiding == 0.5
    assert SEX.replace(nuisance=True, hide=0.2).hiding == 0.2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice(name="a", values=("x", "X")), "a value stands twice"),
        (lambda: SetOf(name="a", values=("x;y",)), "'x;y' cannot stand in a list"),
        (lambda: SetOf(name="a", values=("none",)), "'none' cannot stand in a list"),
        (lambda: Choice(name="a", values=("x",), hide=1.0), "hide"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        make()

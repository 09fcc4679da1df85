"""Plans: what a user words becomes items, or one clear error."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from brainweave.conditions import Category, Scalar
from brainweave.errors import BrainweaveError, CohortError, ConditionError
from brainweave.generation.plan import Item, describe, from_assignments, from_cohort
from brainweave.recipe import Recipe


def plan(recipe: Recipe, *words: str, count: int = 1, seed: int = 0, wide: bool = False) -> list:
    return from_assignments(recipe, words, count=count, seed=seed, extrapolate=wide)


def ages(items: Sequence[Item]) -> list[float]:
    return [item.values["age"][0] for item in items]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "wanted.csv"


def rows(recipe: Recipe, table: Path, text: str, *, seed: int = 0, wide: bool = False) -> list:
    table.write_text(text)
    return from_cohort(recipe, table, seed=seed, extrapolate=wide)


def test_one_value(tiny_recipe: Recipe) -> None:
    assert plan(tiny_recipe, "age=70") == [Item("age-70_seed-0000", 0, {"age": (70.0,)})]


def test_a_list_of_values(tiny_recipe: Recipe) -> None:
    assert ages(plan(tiny_recipe, "age=25,75.5")) == [25, 75.5]


def test_a_sweep_has_both_ends(tiny_recipe: Recipe) -> None:
    assert ages(plan(tiny_recipe, "age=20:80:13")) == pytest.approx(range(20, 81, 5))


def test_a_sweep_may_fall(tiny_recipe: Recipe) -> None:
    assert ages(plan(tiny_recipe, "age=80:20:3")) == [80, 50, 20]


def test_several_assignments_give_their_product(tiny_recipe: Recipe) -> None:
    items = plan(tiny_recipe, "age=30,60", "sex=F,M")
    assert [item.name for item in items] == [
        "age-30_sex-F_seed-0000",
        "age-30_sex-M_seed-0000",
        "age-60_sex-F_seed-0000",
        "age-60_sex-M_seed-0000",
    ]


def test_one_seed_is_one_head_at_every_age(tiny_recipe: Recipe) -> None:
    items = plan(tiny_recipe, "age=30,60", count=2, seed=7)
    assert [(item.values["age"][0], item.seed) for item in items] == [
        (30, 7),
        (30, 8),
        (60, 7),
        (60, 8),
    ]


def test_without_assignments_nothing_is_known(tiny_recipe: Recipe) -> None:
    (item,) = plan(tiny_recipe)
    assert describe(tiny_recipe, item) == {"age": None, "sex": None}


@pytest.mark.parametrize("word", ["na", "n/a", "NaN"])
def test_a_value_may_be_missing(tiny_recipe: Recipe, word: str) -> None:
    (item,) = plan(tiny_recipe, f"age={word}")
    assert item.name == "age-na_seed-0000"
    assert math.isnan(item.values["age"][0])


@pytest.mark.parametrize("word", ["F", "f", "female", "Female"])
def test_sex_is_understood_in_any_spelling(tiny_recipe: Recipe, word: str) -> None:
    (item,) = plan(tiny_recipe, f"sex={word}")
    assert item == Item("sex-F_seed-0000", 0, {"sex": (0.0,)})


def test_extrapolation_is_asked_for(tiny_recipe: Recipe) -> None:
    assert ages(plan(tiny_recipe, "age=200", wide=True)) == [200]


def test_a_description_names_every_condition(tiny_recipe: Recipe) -> None:
    (item,) = plan(tiny_recipe, "sex=male")
    assert describe(tiny_recipe, item) == {"age": None, "sex": "M"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["age=200"], "age=200 is outside the trained 20 to 80; --extrapolate"),
        (["age=20:100:3"], "age=100 is outside the trained 20 to 80"),
        (["agee=70"], "no condition 'agee'; did you mean 'age'"),
        (["sex=X"], "sex=X is unknown; known: F, M"),
        (["age=old"], "age=old: a number or n/a is needed"),
        (["age"], "'age' is no assignment; write name=value, as age=70"),
        (["age="], "'age=' is no assignment"),
        (["age=30", "age=40"], "age is assigned twice; write age=A,B"),
        (["age=70,70"], "age-70 is asked for twice"),
        (["age=70.00001,70.00002"], "age-70 is asked for twice"),
        (["sex=F,female"], "sex-F is asked for twice"),
        (["age=20:80:1"], "a sweep has at least 2 values"),
        (["age=a:b:3"], "a sweep is first:last:number"),
        (["age=20:80"], "age=20:80: a number or n/a is needed"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tiny_recipe: Recipe, words: list[str], message: str
) -> None:
    with pytest.raises(ConditionError, match=message):
        plan(tiny_recipe, *words)


def test_infinity_is_no_age_even_when_extrapolating(tiny_recipe: Recipe) -> None:
    with pytest.raises(ConditionError, match="age=inf: a finite number"):
        plan(tiny_recipe, "age=inf", wide=True)


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (-1, 0), (1, -1), (1, 2**63), (2, 2**63 - 1)])
def test_impossible_counts_and_seeds_are_refused(
    tiny_recipe: Recipe, count: int, seed: int
) -> None:
    with pytest.raises(ConditionError, match=f"count {count} and seed {seed}"):
        plan(tiny_recipe, count=count, seed=seed)


def test_names_sort_as_seeds_do(tiny_recipe: Recipe) -> None:
    names = [item.name for item in plan(tiny_recipe, count=3, seed=9999)]
    assert names == ["seed-09999", "seed-10000", "seed-10001"]


def test_a_row_is_a_volume(tiny_recipe: Recipe, table: Path) -> None:
    items = rows(tiny_recipe, table, "id,age,sex,seed\na,30,M,5\nb,n/a,female,\n", seed=100)
    assert items[0] == Item("a", 5, {"age": (30.0,), "sex": (1.0,)})
    assert (items[1].name, items[1].seed, items[1].values["sex"]) == ("b", 101, (0.0,))
    assert math.isnan(items[1].values["age"][0])


@pytest.mark.parametrize("column", ["id", "participant_id", "SubjectID"])
def test_rows_are_named_by_their_id(tiny_recipe: Recipe, table: Path, column: str) -> None:
    assert rows(tiny_recipe, table, f"{column},Age\nsub-1,30\n")[0].name == "sub-1"


def test_rows_without_an_id_are_numbered(tiny_recipe: Recipe, table: Path) -> None:
    items = rows(tiny_recipe, table, "age\n30\n40\n", seed=3)
    assert [(item.name, item.seed) for item in items] == [("row-00001", 3), ("row-00002", 4)]


def test_a_tsv_of_participants_is_a_plan(tiny_recipe: Recipe, tmp_path: Path) -> None:
    text = "participant_id\tage\tgender\nsub-1\t30\tM\n"
    assert rows(tiny_recipe, tmp_path / "p.tsv", text)[0].values == {"age": (30.0,), "sex": (1.0,)}


def test_a_condition_without_a_column_is_not_known_and_said(
    tiny_recipe: Recipe, table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (item,) = rows(tiny_recipe, table, "id,age\na,30\n")
    assert describe(tiny_recipe, item) == {"age": 30.0, "sex": None}
    assert "no column sex: not known" in caplog.text


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", ".hidden", "a/b", "a\\b", "~", "a b", "a\nb"]
)
def test_no_id_leaves_the_folder(tiny_recipe: Recipe, table: Path, name: str) -> None:
    (item,) = rows(tiny_recipe, table, f'id,age\n"{name}",30\n')
    assert Path(item.name).name == item.name
    assert not item.name.startswith(".")


def test_ids_in_other_scripts_stay_different(tiny_recipe: Recipe, table: Path) -> None:
    items = rows(tiny_recipe, table, "id,age\nMüller,30\nMöller,30\n脑,30\n")
    assert [item.name for item in items] == ["Müller", "Möller", "脑"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,age\na,30\na,40\n", "id 'a' stands more than once"),
        ("id,age\na/b,30\nab,40\n", "id 'ab' stands more than once"),
        ("id,age\na,30\nA,40\n", "id 'A' stands more than once"),
        ("id,age\na,200\n", r"row 1 \(a\): age=200 is outside the trained 20 to 80"),
        ("id,age\na,30\nb,old\n", r"row 2 \(b\): age=old: a number or n/a"),
        ("id,age,seed\na,30,x\n", r"row 1 \(a\): seed 'x' is no whole number"),
        ("id,age,seed\na,30,-1\n", r"row 1 \(a\): seed '-1' is no whole number"),
        ("id,age,seed\na,30,99999999999999999999\n", "is no whole number from 0 to"),
        ("id,agee\na,30\n", "has no column age or sex, only id, agee"),
        ("id,age,Age\na,30,40\n", "two columns mean 'age'"),
        ("id,sex,gender\na,F,M\n", "two columns mean 'sex'"),
        ("id,age\n", "has no rows"),
        ("", "empty"),
        ("id,age\na\n", "line 2: 1 fields where the header has 2"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(
    tiny_recipe: Recipe, table: Path, text: str, message: str
) -> None:
    with pytest.raises(BrainweaveError, match=message) as caught:
        rows(tiny_recipe, table, text)
    assert str(table) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_table_is_refused(tiny_recipe: Recipe, table: Path) -> None:
    with pytest.raises(CohortError, match="No such file"):
        from_cohort(tiny_recipe, table, seed=0)


def test_labels_of_categories_are_file_names(tiny_recipe: Recipe) -> None:
    site = Category(name="site", values=("IXI/Guy's", "HH 3T"))
    age = Scalar(name="age", low=0, high=1e9)
    items = plan(tiny_recipe.replace(conditions=(site, age)), "site=IXI/Guy's,HH 3T", "age=2e7")
    assert [item.name for item in items] == [
        "site-IXIGuys_age-2e07_seed-0000",
        "site-HH-3T_age-2e07_seed-0000",
    ]

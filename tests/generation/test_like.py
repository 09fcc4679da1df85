"""Rows like a cohort's: drawn whole, by seed, from those who trained."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from brainweave.data.table import read_table
from brainweave.errors import BrainweaveError, CohortError, ConditionError
from brainweave.generation.like import from_like, located
from brainweave.generation.plan import Item, describe
from brainweave.generator import Generator
from brainweave.recipe import Recipe

TABLE = """id,split,age,age_group,sex,ills,t1w,t2
a,train,25,n/a,F,none,a.nii,a2.nii
b,train,n/a,60-65,M,stroke;gout,b.nii,n/a
c,train,70,n/a,n/a,n/a,c.nii,n/a
d,train,n/a,n/a,n/a,n/a,d.nii,d2.nii
e,val,50,n/a,F,none,e.nii,e2.nii
f,train,40,n/a,other,gout,n/a,f2.nii
"""
T1W, T2W = (0.0,), (1.0,)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "cohort.csv"
    path.write_text(TABLE)
    return path


Drawn = Callable[..., list[Item]]


@pytest.fixture
def drawn(several_recipe: Recipe, table: Path) -> Drawn:
    def draw(*words: str, count: int = 600, seed: int = 0) -> list[Item]:
        return from_like(several_recipe, table, words, count=count, seed=seed)

    return draw


def test_rows_are_drawn_whole_from_those_who_trained(drawn: Drawn, several_recipe: Recipe) -> None:
    shown = {tuple(describe(several_recipe, item).values())[1:] for item in drawn()}
    assert shown == {
        (25.0, "F", "none"),
        ("60-65", "M", "stroke;gout"),
        (70.0, None, None),
        (40.0, None, "gout"),
    }


def test_a_row_is_made_in_the_contrasts_that_it_has(drawn: Drawn) -> None:
    made = Counter((item.values["age"][0], item.values["modality"]) for item in drawn())
    assert set(made) == {(25, T1W), (25, T2W), (60, T1W), (70, T1W), (40, T2W)}
    assert all(count == pytest.approx(120, abs=40) for count in made.values())


def test_a_contrast_that_is_assigned_is_made_of_every_row(drawn: Drawn) -> None:
    items = drawn("modality=T2")
    assert {item.values["modality"] for item in items} == {T2W}
    assert {item.values["age"][0] for item in items} == {25, 60, 70, 40}


@pytest.mark.parametrize(
    ("words", "ages"),
    [
        (["sex=F"], {25}),
        (["age=60-75"], {60, 70}),
        (["age=40", "sex=n/a"], {40}),
        (["age=25,70"], {25, 70}),
        (["ills=gout"], {60, 40}),
        (["age_group=60-70"], {60, 70}),
    ],
)
def test_assignments_choose_among_rows(drawn: Drawn, words: list[str], ages: set[float]) -> None:
    assert {item.values["age"][0] for item in drawn(*words)} == ages


def test_a_seed_names_its_row_whatever_else_is_drawn(drawn: Drawn) -> None:
    few, many = drawn(count=5, seed=10), drawn(count=50, seed=0)
    assert few == many[10:15]
    assert [item.name for item in few] == [f"seed-{n:04d}" for n in range(10, 15)]


def test_a_table_without_splits_is_taken_whole(tiny_recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,age,sex\na,30,F\nb,40,M\n")
    items = from_like(tiny_recipe, path, [], count=40, seed=0)
    assert {tuple(item.values.values()) for item in items} == {
        ((30.0,), (0.0,)),
        ((40.0,), (1.0,)),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sex=F", "age=60-65"], "no row with sex=F, age=60-65 has a value that toy knows"),
        (["agee=3"], "no condition 'agee'; did you mean 'age'"),
        (["age=30", "age_group=60-65"], "age=30 and age_group=60-65 contradict"),
        (["count=3"], "no condition 'count'"),
    ],
)
def test_what_no_row_is_like_is_refused(drawn: Drawn, words: list[str], message: str) -> None:
    with pytest.raises(BrainweaveError, match=message):
        drawn(*words)


def test_contradictions_in_the_table_are_refused(several_recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,age,age_group\na,30,60-65\n")
    with pytest.raises(CohortError, match=r"t\.csv: age=30 and age_group=60-65 contradict"):
        from_like(several_recipe, path, ["modality=t1w"], count=1, seed=0)


def test_without_images_the_contrast_must_be_said(several_recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,age\na,30\n")
    with pytest.raises(BrainweaveError, match="say which, as modality=t1w"):
        from_like(several_recipe, path, [], count=1, seed=0)


def test_a_table_is_named_by_itself_by_its_run_or_by_the_model(table: Path, tmp_path: Path) -> None:
    assert located(str(table), tmp_path / "model") == table
    assert located(str(table.parent), tmp_path / "model") == table
    assert located("train", table.parent) == table


def test_a_model_without_its_cohort_is_told_in_one_line(model: Path) -> None:
    with pytest.raises(ConditionError, match=r"has no cohort\.csv.*give --like TABLE"):
        located("train", model)


def test_the_command_draws_rows_and_writes_them_down(
    cli: Callable, generator: Generator, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    generator.save(run)
    (run / "cohort.csv").write_text("id,age,sex,t1w\na,30,F,a.nii\nb,n/a,M,b.nii\n")
    ended = cli("generate", run, "--like", "train", "--count", 6, "--seed", 3, "--out", out)
    assert ended.code == 0, ended.err
    made = read_table(out / "participants.tsv")
    assert [int(seed) for seed in made.column("seed")] == [3, 4, 5, 6, 7, 8]
    rows = set(zip(made.column("age"), made.column("sex"), strict=True))
    assert rows == {("30", "F"), ("n/a", "M")}


def test_like_and_cohort_are_one_too_many(cli: Callable, model: Path, heads: Path) -> None:
    ended = cli("generate", model, "--like", heads, "--cohort", heads)
    assert ended.code == 2
    assert "give one of the two" in ended.err


def test_what_is_not_known_is_drawn_as_not_known(drawn: Drawn) -> None:
    assert any(math.isnan(item.values["sex"][0]) for item in drawn())

"""A model that makes several contrasts: which one is said, and stands in the names of files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from brainweave.conditions import Category
from brainweave.data.cohort import Cohort
from brainweave.data.table import read_table
from brainweave.errors import CohortError, ConditionError
from brainweave.generation.job import Job, Options
from brainweave.generation.plan import Item, from_assignments, from_cohort
from brainweave.generator import Generator
from brainweave.recipe import Recipe, Sampling

QUICK = Options(Sampling(steps=1))


def plan(recipe: Recipe, *words: str, count: int = 1) -> list:
    return from_assignments(recipe, words, count=count, seed=1)


def test_files_carry_the_contrast_that_was_asked_for(several: Generator, tmp_path: Path) -> None:
    items = plan(several.recipe, "modality=t2w", "age=60", "sex=F")
    (path,) = Job(several, "abc", items, tmp_path, QUICK).run()
    assert path.name == "age-60_sex-F_seed-0001_T2w.nii.gz"


def test_all_contrasts_of_a_head_are_a_table_that_is_read_again(
    several: Generator, tmp_path: Path
) -> None:
    items = plan(several.recipe, "modality=t1w,t2w,flair", "age=60-65")
    paths = Job(several, "abc", items, tmp_path, QUICK).run()
    endings = ["T1w", "T2w", "FLAIR"]
    assert [p.name for p in paths] == [f"age-60-65_seed-0001_{e}.nii.gz" for e in endings]
    table = read_table(tmp_path / "participants.tsv")
    assert table.column("modality") == ["flair", "t1w", "t2w"]
    assert set(table.column("age")) == {"60-65"}
    found = Cohort.open(tmp_path)
    assert [list(s.images) for s in found] == [["flair"], ["t1w"], ["t2w"]]
    assert len({s.id for s in found}) == 3


def test_the_only_contrast_need_not_be_said(several_recipe: Recipe) -> None:
    _, *others = several_recipe.conditions
    one = several_recipe.replace(conditions=(Category(name="modality", values=("t2w",)), *others))
    (item,) = plan(one, "age=60")
    assert item == Item("age-60_seed-0001", 1, {"modality": (0.0,), "age": (60.0, 60.0)})


@pytest.mark.parametrize("word", ["T2", "t2w", "T2w"])
def test_a_contrast_has_many_names(several_recipe: Recipe, word: str) -> None:
    (item,) = plan(several_recipe, f"modality={word}")
    assert item.values["modality"] == (1.0,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["age=60"], "toy makes t1w, t2w, flair; say which, as modality=t1w"),
        (["modality=n/a"], "say which, as modality=t1w"),
        (["modality=pet"], "modality=pet is unknown; known: flair, t1w, t2w"),
        (["modality=t2,T2w"], "modality-t2w is asked for twice"),
        (["modality=t1w", "age=60", "age_group=20-25"], "age=60 and age_group=20-25 contradict"),
        (["modality=t1w", "ills=stroke;flu"], "ills=flu is unknown; known: gout, none, stroke"),
    ],
)
def test_what_makes_no_sense_is_refused(
    several_recipe: Recipe, words: list[str], message: str
) -> None:
    with pytest.raises(ConditionError, match=message):
        plan(several_recipe, *words)


def test_a_group_of_ages_may_be_assigned(several_recipe: Recipe) -> None:
    (item,) = plan(several_recipe, "modality=t1w", "age_group=60-65")
    assert item.values["age"] == (60.0, 65.0)
    (both,) = plan(several_recipe, "modality=t1w", "age_group=60-65", "age=61")
    assert both.values["age"] == (61.0, 61.0)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("age=>70", "age-over-70"),
        ("age=<30", "age-under-30"),
        ("ills=stroke;gout", "ills-stroke-gout"),
        ("ills=none", "ills-none"),
    ],
)
def test_words_of_metadata_make_names_of_files(
    several_recipe: Recipe, word: str, name: str
) -> None:
    (item,) = plan(several_recipe, "modality=t1w", word)
    assert item.name == f"{name}_seed-0001"


def test_a_row_of_a_cohort_says_its_contrast(several_recipe: Recipe, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,modality,age,ills\na,T2,>70,gout\n")
    (item,) = from_cohort(several_recipe, table, seed=0)
    assert (item.values["modality"], item.values["age"]) == ((1.0,), (70.0, 80.0))
    table.write_text("id,age\na,30\n")
    with pytest.raises(ConditionError, match=r"row 1 \(a\): toy makes t1w, t2w, flair; say which"):
        from_cohort(several_recipe, table, seed=0)
    table.write_text("id,modality,age\na,t1w,30-20\n")
    with pytest.raises((ConditionError, CohortError), match=r"row 1 \(a\): age=30-20: a number"):
        from_cohort(several_recipe, table, seed=0)


def test_generating_by_the_command_line(cli: Callable, several: Generator, tmp_path: Path) -> None:
    several.save(tmp_path / "m")
    out = tmp_path / "out"
    ended = cli("generate", tmp_path / "m", "modality=t2w", "age=60", "sex=F", "--out", out)
    assert ended.code == 0, ended.err
    assert (out / "age-60_sex-F_seed-0000_T2w.nii.gz").is_file()

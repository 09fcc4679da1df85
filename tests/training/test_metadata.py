"""Metadata of a training cohort: what is refused before the first step, what is only told."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from brainweave.conditions import Choice, Continuous, SetOf
from brainweave.data.cohort import Cohort
from brainweave.errors import CohortError
from brainweave.recipe import Recipe, Sampling
from brainweave.training.run import train
from brainweave.training.subjects import Splits, check

ILLS = SetOf(name="ills", values=("gout", "stroke"))
AGE = Continuous(name="age", low=0, high=120, columns=("age_group",))


def checked(recipe: Recipe, heads: Path, *fields, **columns: list[str]) -> None:
    """Whether a cohort with these columns, repeated, may train."""
    cohort = Cohort.open(heads)
    words = {name: said * len(cohort) for name, said in columns.items()}
    rows = [
        replace(s, covariates={**s.covariates, **{n: said[i] for n, said in words.items()}})
        for i, s in enumerate(cohort)
    ]
    check(recipe.replace(conditions=fields), Splits(Cohort(rows), Cohort([])))


def test_sparse_metadata_may_train(tiny_recipe: Recipe, heads: Path) -> None:
    ages, groups = ["60-65", "n/a", "34.5"], ["n/a", "70-75", "n/a"]
    checked(tiny_recipe, heads, AGE, age=ages, age_group=groups)


def test_unknown_words_are_counted_and_told(
    tiny_recipe: Recipe, heads: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Choice(name="site", values=("A", "B"))
    checked(tiny_recipe, heads, site, site=["A", "Z", "B", "Z"])
    assert "site: 'Z' (4) mean nothing to the model: not known" in caplog.text


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": ["130", "30"]}, "'sub-0001'.*age=130 is outside the trained 0 to 120; and 3 more"),
        (
            {"age": ["30", "n/a"], "age_group": ["60-65", "n/a"]},
            "'sub-0001'.*age=30 and age_group=60-65 contradict each other; leave one out",
        ),
        (
            {"age": ["n/a"], "age_group": ["old"]},
            "nobody who trains has a value of age in age or age_",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    tiny_recipe: Recipe, heads: Path, columns: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(CohortError, match=message) as caught:
        checked(tiny_recipe, heads, AGE, **columns)
    assert "\n" not in str(caught.value)


def test_sparse_metadata_are_trained_on_and_generated_with(
    tiny_recipe: Recipe, heads: Path, tmp_path: Path
) -> None:
    fields = (AGE, Choice(name="site", values=("A", "B"), nuisance=True), ILLS)
    said = {"age": ["60-65", "n/a", ">80", "34"], "site": ["A", "Z"], "ills": ["gout", "none"]}
    rows = [
        replace(s, covariates={name: words[i % len(words)] for name, words in said.items()})
        for i, s in enumerate(Cohort.open(heads))
    ]
    plan = tiny_recipe.replace(conditions=fields, template=None)
    model = train(plan, Cohort(rows), tmp_path / "run", device="cpu", show=False)
    values = {"age": torch.tensor([[60.0, 65.0]]), "ills": torch.tensor([[1.0, 0.0]])}
    assert model.sample(values, [1], Sampling(steps=2)).isfinite().all()
    written = Cohort.open(tmp_path / "run" / "cohort.csv")
    assert {s.covariates.get("age") for s in written} == {"60-65", None, ">80", "34"}

"""A model of several contrasts that hears sparse metadata and no images."""

from collections.abc import Callable

import pytest

from brainweave.conditions import Category, Choice, Continuous, SetOf
from brainweave.generator import Generator
from brainweave.recipe import Recipe


@pytest.fixture(scope="session")
def several_recipe(tiny_recipe: Recipe) -> Recipe:
    return tiny_recipe.replace(
        target="modality",
        conditions=(
            Category(name="modality", values=("t1w", "t2w", "flair")),
            Continuous(name="age", low=20, high=80, columns=("age_group",)),
            Choice(name="sex", values=("F", "M")),
            SetOf(name="ills", values=("stroke", "gout")),
        ),
    )


@pytest.fixture(scope="session")
def several(several_recipe: Recipe, randomised: Callable[[Recipe], Generator]) -> Generator:
    return randomised(several_recipe)

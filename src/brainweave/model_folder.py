"""A model's folder: recipe.json and weights.safetensors, and what binds one to the other."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainweave.data.files import digest
from brainweave.errors import CheckpointError, RecipeError
from brainweave.part import from_dict
from brainweave.recipe import Recipe

RECIPE, WEIGHTS = "recipe.json", "weights.safetensors"
_BINDING = ("preprocess", "template", "representation", "process", "network", "conditions")


def digests(plan: Mapping[str, Any]) -> dict[str, str]:
    """Of the fields of a recipe's JSON that the weights mean nothing without."""
    return {name: digest(plan.get(name)) for name in _BINDING}


def load_recipe(folder: Path) -> Recipe:
    """The recipe of a model or run folder. Raises CheckpointError where there is none."""
    path = folder / RECIPE
    if not path.is_file():
        raise CheckpointError(f"{folder} is no model: it has no {RECIPE}")
    try:
        recipe = from_dict(json.loads(path.read_text()))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); restore it") from None
    except RecipeError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if not isinstance(recipe, Recipe):
        raise CheckpointError(f"{path} is not a recipe")
    return recipe

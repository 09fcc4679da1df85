"""A model's folder: recipe.json and weights.safetensors, and what binds one to the other; beside
them the autoencoder's weights, if the model lives in its latents."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from brainweave.compression import AutoencoderRecipe
from brainweave.data.files import atomic, digest, write_json
from brainweave.data.tensors import content_hash, facts_of, load_tensors, save_tensors
from brainweave.errors import CheckpointError, RecipeError
from brainweave.part import from_dict, to_dict
from brainweave.recipe import Recipe
from brainweave.representations.autoencoders import Autoencoder
from brainweave.representations.latent import Latent

RECIPE, WEIGHTS = "recipe.json", "weights.safetensors"
AUTOENCODER = "autoencoder.safetensors"
Plan = Recipe | AutoencoderRecipe
_SEEN = ("preprocess", "autoencoder")  # of an autoencoder's recipe: as _BINDING
_BINDING = ("preprocess", "template", "representation", "process", "network", "conditions")


def digests(plan: Mapping[str, Any]) -> dict[str, str]:
    """Of the fields of a recipe's JSON that the weights mean nothing without."""
    return {name: digest(plan.get(name)) for name in _BINDING}


def save_recipe(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Writes recipe.json, and the autoencoder's weights if it has one; returns what it wrote."""
    if isinstance(recipe.representation, Latent):
        place, source = folder / AUTOENCODER, recipe.representation.weights
        if not place.exists() or content_hash(place) != recipe.representation.sha256:
            recipe.representation.require()
            with atomic(place) as temporary:
                shutil.copyfile(source, temporary)
    plan: dict[str, Any] = to_dict(recipe)
    write_json(folder / RECIPE, plan)
    return plan


def load_plan(folder: Path) -> Plan:
    """The recipe of a model or run folder, of either kind. Raises CheckpointError where there is
    none."""
    path = folder / RECIPE
    if not path.is_file():
        raise CheckpointError(f"{folder} is no model: it has no {RECIPE}")
    try:
        recipe = from_dict(json.loads(path.read_text()))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); restore it") from None
    except RecipeError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if not isinstance(recipe, Plan):
        raise CheckpointError(f"{path} is not a recipe")
    if isinstance(recipe, Recipe) and isinstance(recipe.representation, Latent):
        return recipe.replace(representation=recipe.representation.at(folder / AUTOENCODER))
    return recipe


def load_recipe(folder: Path) -> Recipe:
    """The recipe of a model that makes volumes. Raises CheckpointError where there is none."""
    recipe = load_plan(folder)
    if not isinstance(recipe, Recipe):
        raise CheckpointError(f"{folder} is an autoencoder: it makes no volumes of its own")
    return recipe


def save_autoencoder(folder: Path, recipe: AutoencoderRecipe, module: Autoencoder) -> str:
    """Writes recipe.json and weights.safetensors; returns the content hash of the weights."""
    plan = to_dict(recipe)
    write_json(folder / RECIPE, plan)
    facts = {"recipe": recipe.name, "recipe_sha256": digest([plan[name] for name in _SEEN])}
    return save_tensors(folder / WEIGHTS, module.state_dict(), facts)


def load_autoencoder_recipe(folder: Path) -> AutoencoderRecipe:
    """The recipe of an autoencoder's folder. Raises CheckpointError where there is none."""
    recipe = load_plan(folder)
    if not isinstance(recipe, AutoencoderRecipe):
        raise CheckpointError(f"{folder} is no autoencoder; train one or import one")
    return recipe


def _bound(folder: Path) -> AutoencoderRecipe:
    """The recipe of an autoencoder, which is that of its weights."""
    recipe, facts = load_autoencoder_recipe(folder), facts_of(folder / WEIGHTS)
    plan = json.loads((folder / RECIPE).read_text())
    if facts.get("recipe_sha256") != digest([plan[name] for name in _SEEN]):
        raise CheckpointError(
            f"{folder}: {' or '.join(_SEEN)} in {RECIPE} was changed after the weights were saved; "
            "restore it"
        )
    return recipe


def load_autoencoder(
    folder: Path, device: str | torch.device = "cpu"
) -> tuple[AutoencoderRecipe, Autoencoder]:
    """An autoencoder from its folder, verified by hash, without gradients.

    Raises CheckpointError where a file is missing, damaged or does not match the other.
    """
    recipe, (state, _) = _bound(folder), load_tensors(folder / WEIGHTS)
    module = recipe.autoencoder.build()
    module.load_state_dict(state)
    return recipe, module.to(device).eval().requires_grad_(False)


def latent(folder: Path) -> Latent:
    """The latents of the autoencoder in a folder, as a representation."""
    recipe = _bound(folder)
    low, high = recipe.preprocess.intensity.range
    space = Latent(
        autoencoder=recipe.autoencoder,
        sha256=content_hash(folder / WEIGHTS),
        modalities=recipe.targets,
        low=low,
        high=high,
    )
    return space.at(folder / WEIGHTS)

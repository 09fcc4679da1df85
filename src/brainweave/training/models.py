"""What training fits: how generators and autoencoders are built, kept and loaded, and what of
their recipes decides the weights."""

from pathlib import Path

import torch
from torch import nn

from brainweave.data.files import digest, write_json
from brainweave.fitting import Fitting
from brainweave.generator import Generator
from brainweave.model_folder import (
    RECIPE,
    Plan,
    load_autoencoder,
    load_plan,
    save_autoencoder,
    save_recipe,
)
from brainweave.part import to_dict
from brainweave.recipe import Recipe
from brainweave.representations.autoencoders import Autoencoder

LABELS = ("name", "source", "licence", "sampling")  # of a recipe: they decide no weight


def build(recipe: Plan) -> nn.Module:
    """The model of a recipe, its weights random."""
    return Generator(recipe) if isinstance(recipe, Recipe) else recipe.autoencoder.build()


def save(folder: Path, recipe: Plan, module: nn.Module) -> str:
    """Makes a folder the model's; returns the content hash of the weights."""
    if isinstance(recipe, Recipe):
        assert isinstance(module, Generator)
        module.recipe = recipe
        return module.save(folder)
    assert isinstance(module, Autoencoder)
    return save_autoencoder(folder, recipe, module)


def note(folder: Path, recipe: Plan) -> None:
    """Writes the recipe of a run that has no weights yet."""
    if isinstance(recipe, Recipe):
        save_recipe(folder, recipe)
    else:
        write_json(folder / RECIPE, to_dict(recipe))


def load(folder: Path, device: str | torch.device = "cpu") -> Generator | Autoencoder:
    """The model of a folder, verified."""
    if isinstance(load_plan(folder), Recipe):
        return Generator.load(folder, device)
    return load_autoencoder(folder, device)[1]


def labels(recipe: Plan) -> tuple[str, ...]:
    """The fields that decide no weight."""
    return tuple(name for name in LABELS if name in recipe.fields())


def flexible(plan: Fitting) -> tuple[str, ...]:
    """The fields of `training` that may change in a running run."""
    fields = ("workers", "compile", "save_every")
    return fields if plan.patience else (*fields, "validate_every")


def identity(recipe: Plan) -> str:
    """A digest of all that decides the weights."""
    plan = {name: value for name, value in to_dict(recipe).items() if name not in LABELS}
    free = flexible(recipe.training)
    plan["training"] = {n: v for n, v in plan["training"].items() if n not in free}
    return digest(plan)

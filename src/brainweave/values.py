"""What a generator is given beside noise: values of its conditions, by name."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.data.grid import Shape, spelled
from brainweave.errors import ConditionError, ShapeError
from brainweave.recipe import FOLD, Recipe

Values = Mapping[str, Float[Tensor, "b _ *_"]]  # [b size] of covariates, [b 1 i j k] of images


def filled(
    recipe: Recipe, values: Values, count: int, device: torch.device | str
) -> dict[str, Tensor]:
    """A value of every condition for `count` volumes on a device, NaN where not given.

    Raises ConditionError for a condition that there is not or values of another shape.
    """
    inputs, found = recipe.inputs, {}
    sizes = {c.name: c.size for c in recipe.covariates}
    for name in values:
        if name not in (*inputs, FOLD):
            recipe.condition(name)
    for name in (*sizes, *inputs):
        shape = (count, *_shape(recipe, name, values)) if name in inputs else (count, sizes[name])
        value = values.get(name)
        value = torch.full(shape, torch.nan) if value is None else value
        if value.shape != shape:
            got = tuple(value.shape)
            raise ConditionError(f"{name} has shape {got}; {count} volumes need {shape}")
        found[name] = value.to(device, torch.float32)
    return found


def prepared(recipe: Recipe, values: Values) -> dict[str, Tensor]:
    """With images as the representation prepares them, once; NaN where missing."""
    prepare, found = recipe.representation.prepare, dict(values)
    for name in recipe.images.modalities if recipe.images is not None else ():
        there = ~values[name].isnan().flatten(1).any(1)[:, None, None, None, None]
        found[name] = torch.where(there, prepare(values[name].nan_to_num(0.0)), torch.nan)
    return found


def edges_of(recipe: Recipe, values: Values) -> Shape:
    """Of volumes: those of the images among `values`, prepared or not, else of the recipe.

    Raises ShapeError for edges that the network cannot take.
    """
    found = next((values[name] for name in recipe.inputs if name in values), None)
    if found is None or found.dim() != 5:
        return recipe.preprocess.shape
    i, j, k = found.shape[2:]
    if found.shape[1] > 1:  # prepared
        p, q, r = recipe.representation.factors
        i, j, k = i * p, j * q, k * r
    if any(edge % factor for edge, factor in zip((i, j, k), recipe.factors, strict=True)):
        needed = spelled(recipe.factors)
        raise ShapeError(
            f"images of {i} x {j} x {k} voxels; every edge must be a multiple of {needed}"
        )
    return i, j, k


def _shape(recipe: Recipe, name: str, values: Values) -> tuple[int, ...]:
    """Of one volume of an input: that of the others in `values`; label maps are in voxels."""
    images = [values[n] for n in recipe.inputs if n in values and n not in recipe.labels]
    if name in recipe.labels or not images:
        return 1, *edges_of(recipe, values)
    return tuple(images[0].shape[1:])

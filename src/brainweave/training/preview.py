"""A picture of what the weights can do so far."""

from pathlib import Path

import torch

from brainweave.conditions.base import Value
from brainweave.conditions.continuous import Continuous
from brainweave.conditions.covariates import Category, Scalar
from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.montage import montage
from brainweave.data.volume import Volume
from brainweave.generator import Generator
from brainweave.recipe import Recipe
from brainweave.training.engine import Engine

COLUMNS, STEPS = 5, 20


def preview(
    generator: Generator, path: Path, engine: Engine, dataset: VolumeDataset, *, title: str
) -> bool:
    """Draws five volumes in at most 20 steps and writes their middle planes: evenly over the range
    of the first number that the model hears, or, from images, of five volumes of `dataset`, each
    under the real one. False, and no picture, where a stop is asked."""
    recipe = generator.recipe
    assert recipe.template is not None
    preprocess = recipe.preprocess.shown()
    placement = preprocess.place(recipe.template)
    steps = min(recipe.sampling.steps, STEPS)
    sampling = recipe.sampling.replace(steps=steps)
    volumes = dataset.in_voxels()
    real: list[Volume] = []
    made: list[Volume] = []
    labels: list[str] = []
    for column in range(COLUMNS):
        if engine.stop_requested:
            return False
        if recipe.inputs:
            batch = Batch.of([volumes[column * len(volumes) // COLUMNS, 0]])
            values = batch.values
            real.append(preprocess.restore(batch.volume[0], placement))
            labels.append(batch.ids[0])
        else:
            values = {n: torch.tensor([v]) for n, v in wanted(recipe, column).items()}
            labels.append(_label(recipe, column))
        with engine.autocast():
            volume = generator.sample(values, [column], sampling)
        made.append(preprocess.restore(volume[0].cpu(), placement))
    both = [f"{label}, real" for label in labels] if real else []
    labels = both + labels
    montage(real + made, path, labels=labels, title=title, window=(0.0, 1.0), columns=COLUMNS)
    return True


def wanted(recipe: Recipe, column: int) -> dict[str, Value]:
    """The conditions of a column: the first number rises, others are at the middle of their range,
    categories at their first, and sparse metadata remain unknown."""
    values: dict[str, Value] = {}
    rising = True
    for condition in recipe.covariates:
        if isinstance(condition, Scalar) or (rising and isinstance(condition, Continuous)):
            share = (column + 0.5) / COLUMNS if rising else 0.5
            number = condition.low + share * (condition.high - condition.low)
            values[condition.name] = (number,) * condition.size  # an exact one
            rising = False
        elif isinstance(condition, Category) or condition.name == recipe.target:
            values[condition.name] = (0.0,)
    return values


def _label(recipe: Recipe, column: int) -> str:
    """Such as "age 25, sex F"."""
    values = wanted(recipe, column)
    shown = {c.name: c.show(values[c.name]) for c in recipe.covariates if c.name in values}
    words = [f"{n} {v:.3g}" if isinstance(v, float) else f"{n} {v}" for n, v in shown.items()]
    return ", ".join(words) or f"seed {column}"

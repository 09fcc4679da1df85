"""What recipes and models are and cost, in words: for `brainweave inspect` and `recipes`."""

import inspect as functions
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainweave.compression import AutoencoderRecipe
from brainweave.conditions.base import Condition
from brainweave.conditions.covariates import Category, Scalar
from brainweave.conditions.images import Images
from brainweave.cost import (
    calls_per_volume,
    flops_per_call,
    generation_memory,
    parameter_count,
    training_memory,
)
from brainweave.data.tensors import content_hash
from brainweave.errors import RecipeError
from brainweave.model_folder import WEIGHTS, Plan, load_plan
from brainweave.part import Part, difference
from brainweave.recipe import Recipe
from brainweave.recipes import RECIPES

LONG = 12  # numbers of a list are told, more are counted


@dataclass(frozen=True)
class Facts:
    """A recipe and its cost; `str` of it is a text for people.

    flops: of one network call for one volume, or of a volume through an autoencoder. calls: of the
    network per volume, as `recipe.sampling` draws it. generating, training: bytes, estimates for
    one volume and for one training step, without what libraries reserve. weights: their content
    hash, None for a recipe.
    """

    recipe: Plan
    parameters: int
    flops: int
    calls: int
    generating: int
    training: int
    weights: str | None

    def __str__(self) -> str:
        recipe = self.recipe
        parts = _parts(recipe) if isinstance(recipe, Recipe) else _stages(recipe)
        return _aligned([*parts, *_costs(self), *_origins(self)])


def inspect(model: Plan | Path) -> Facts:
    """The facts of a recipe or of a model folder. Raises CheckpointError where there is none."""
    recipe = load_plan(model) if isinstance(model, Path) else model
    weights = content_hash(model / WEIGHTS) if isinstance(model, Path) else None
    return Facts(
        recipe=recipe,
        parameters=parameter_count(recipe),
        flops=flops_per_call(recipe),
        calls=calls_per_volume(recipe) if isinstance(recipe, Recipe) else 1,
        generating=generation_memory(recipe),
        training=training_memory(recipe),
        weights=weights,
    )


def compare(a: Plan, b: Plan) -> str:
    """Every field in which two recipes differ: its name, the value in a, the value in b.

    Raises RecipeError for a generator and an autoencoder.
    """
    if type(a) is not type(b):
        raise RecipeError(f"of {a.name} and {b.name} one is an autoencoder: no field is common")
    rows = [(field, _word(old), _word(new)) for field, old, new in difference(a, b)]
    return _aligned(rows) if rows else "no difference"


def listing() -> str:
    """One line per recipe: name, parameters, shape, representation, process, what it is."""
    rows = [("recipe", "parameters", "shape", "representation", "process", "what it is")]
    for name, maker in RECIPES.items():
        recipe = maker()
        summary = (functions.getdoc(maker) or "").partition("\n")[0]
        if isinstance(recipe, Recipe):
            process = f"{recipe.process.prediction} on {_word(recipe.process.path)}"
            space = _word(recipe.representation)
        else:
            space, process = _latents(recipe), "autoencoder"
        count = f"{parameter_count(recipe) / 1e6:,.1f} M"
        rows.append((name, count, _edges(recipe.preprocess.shape), space, process, summary))
    return _aligned(rows)


def _parts(recipe: Recipe) -> Iterable[tuple[str, str]]:
    yield recipe.name, recipe.source
    yield "target", recipe.target
    yield "preprocess", _word(recipe.preprocess)
    latent = f"{recipe.latent_shape[0]} x {_edges(recipe.latent_shape[1:])}"
    yield "representation", f"{_word(recipe.representation)}: {latent}"
    if recipe.atlas is not None:
        yield "atlas", _word(recipe.atlas)
    yield "process", _word(recipe.process)
    for condition in recipe.conditions:
        yield "condition", _heard(condition)
    if not recipe.conditions:
        yield "condition", "none"
    yield "network", _word(recipe.network)
    yield "training", _word(recipe.training)
    yield "sampling", _word(recipe.sampling)


def _stages(recipe: AutoencoderRecipe) -> Iterable[tuple[str, str]]:
    yield recipe.name, recipe.source
    yield "targets", ", ".join(recipe.targets)
    yield "preprocess", _word(recipe.preprocess)
    yield "autoencoder", _word(recipe.autoencoder)
    yield "latents", _latents(recipe)
    yield "training", _word(recipe.training)


def _latents(recipe: AutoencoderRecipe) -> str:
    """Such as "4 x 20 x 24 x 20"."""
    edges = zip(recipe.preprocess.shape, recipe.autoencoder.factors, strict=True)
    return _edges([recipe.autoencoder.latent_channels, *(edge // f for edge, f in edges)])


def _costs(facts: Facts) -> Iterable[tuple[str, str]]:
    yield "parameters", f"{facts.parameters:,}"
    use = "to encode and decode a volume"
    if isinstance(facts.recipe, Recipe):
        use = "to generate a volume"
        yield "network call", _flops(facts.flops)
        yield "volume", f"{facts.calls} network calls, {_flops(facts.calls * facts.flops)}"
    else:
        yield "volume", f"{_flops(facts.flops)} {use}"
    batch = facts.recipe.training.batch
    yield "memory", f"{_bytes(facts.generating)} {use} (estimate)"
    yield "", f"{_bytes(facts.training)} for a training step of batch {batch} (estimate)"


def _origins(facts: Facts) -> Iterable[tuple[str, str]]:
    grid = facts.recipe.template
    if grid is None:
        yield "template", "the training cohort's grid, once there is one"
    else:
        spacing = " x ".join(f"{edge:.4g}" for edge in grid.spacing)
        yield "template", f"{_edges(grid.shape)} voxels of {spacing} mm, {grid.orientation}"
    yield "licence", facts.recipe.licence
    if facts.weights is not None:
        yield "weights", f"sha256 {facts.weights}"


def _heard(condition: Condition) -> str:
    if isinstance(condition, Scalar):
        return f"{condition.name} from {condition.low:g} to {condition.high:g}"
    if isinstance(condition, Category):
        return f"{condition.name}: {', '.join(condition.values)}"
    if isinstance(condition, Images):
        which = "all" if condition.required else "any"
        start = "" if condition.regression is None else ", starting from their regression"
        return f"{condition.name}: {which} of {', '.join(condition.modalities)}{start}"
    return _word(condition)


def _word(value: Any) -> str:
    """A value as one would write it: of a part, the fields that are not its defaults."""
    if isinstance(value, Part):
        known = type(value).model_fields.items()
        defaults = {name: field.get_default(call_default_factory=True) for name, field in known}
        told = [(name, getattr(value, name)) for name in value.fields()]
        shown = [f"{name}={_word(v)}" for name, v in told if v != defaults[name]]
        return f"{type(value).__name__}({', '.join(shown)})"
    if isinstance(value, tuple) and len(value) > LONG and not isinstance(value[0], str):
        return f"({len(value)} {'points' if isinstance(value[0], tuple) else 'numbers'})"
    if isinstance(value, tuple):
        words = ", ".join(_word(v) for v in value)
        return f"({words},)" if len(value) == 1 else f"({words})"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _edges(shape: Sequence[int]) -> str:
    return " x ".join(str(edge) for edge in shape)


def _flops(count: int) -> str:
    return f"{count / 1e12:,.4g} TFLOP" if count >= 1e11 else f"{count / 1e9:.4g} GFLOP"


def _bytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e8 else f"{count / 1e6:.3g} MB"


def _aligned(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows with every column, but the last, as wide as its widest cell."""
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)

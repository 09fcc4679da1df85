"""What training fits: how generators and autoencoders are built, kept and loaded, and what of
their recipes decides the weights."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from brainweave.conditions.guess import Guess
from brainweave.data.cohort import Cohort
from brainweave.data.dataset import VolumeDataset
from brainweave.data.files import digest, write_json
from brainweave.data.tensors import content_hash
from brainweave.errors import CheckpointError
from brainweave.fitting import Fitting
from brainweave.generator import Generator
from brainweave.maps import Maps
from brainweave.model_folder import (
    RECIPE,
    WEIGHTS,
    Plan,
    load_autoencoder,
    load_plan,
    save_autoencoder,
    save_recipe,
)
from brainweave.part import to_dict
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.representations.autoencoders import Autoencoder

LABELS = ("name", "source", "licence", "sampling")  # of a recipe: they decide no weight


def build(recipe: Plan) -> nn.Module:
    """The model of a recipe, its weights random."""
    return Generator(recipe) if isinstance(recipe, Recipe) else recipe.autoencoder.build()


def fitted(recipe: Plan, cohort: Cohort, volumes: VolumeDataset, report: Reporter) -> Plan:
    """The recipe with what is measured on the training cohort, on the grid that most of it has."""
    report.say("measuring the training cohort")
    template = recipe.template
    if template is None:
        grids = Counter(cohort.grids(recipe.targets).values())
        template = grids.most_common(1)[0][0].oriented(recipe.preprocess.orientation)
    return recipe.fitted(volumes, template)


def measured(
    recipe: Plan,
    volumes: VolumeDataset,
    report: Reporter | None = None,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Tensor]:
    """What a model holds that is measured on its training cohort, before step 1: its atlas, its
    guess. By the names of its buffers. advance: is called between pieces of work and may raise."""
    if not isinstance(recipe, Recipe):
        return {}
    if recipe.atlas is None and (recipe.images is None or recipe.images.regression is None):
        return {}  # nothing large is built for nothing
    module = Generator(recipe)
    if module.atlas is not None:
        _fit_atlas(module.atlas, recipe, volumes.plain())
    if module.guess is not None:
        report = report or Reporter(quiet=True)
        _fit_guess(module.guess, recipe, volumes.plain(), report, advance)
    return dict(module.named_buffers())


def started(recipe: Plan, start: Path | None) -> tuple[Plan, dict[str, Tensor]]:
    """The recipe with what it starts from, and the weights there, but for what is measured. Raises
    CheckpointError where `start` is no model, or not one of the same network and conditions."""
    if start is None:
        return recipe, {}
    weights = {name: p.detach() for name, p in load(start).named_parameters()}
    wanted = {name: p.shape for name, p in build(recipe).named_parameters()}
    theirs = {name: p.shape for name, p in weights.items()}
    if other := sorted(name for name, _ in wanted.items() ^ theirs.items()):
        raise CheckpointError(
            f"start={start} has other weights than {recipe.name} needs, such as {other[0]}; start "
            "from a model of the same network and conditions"
        )
    known = content_hash(start / WEIGHTS)
    return recipe.replace(training=recipe.training.replace(start=known)), weights


def _fit_guess(
    guess: Guess,
    recipe: Recipe,
    plain: VolumeDataset,
    report: Reporter,
    advance: Callable[[], None],
) -> None:
    low, high = recipe.preprocess.intensity.range
    scaled = (
        (person, {name: (volume - low) / (high - low) for name, volume in shown.items()})
        for person, shown in plain.persons()
    )

    def done() -> None:
        report.advance()
        advance()

    report.start("fitting the regression", len(plain.subjects) + len(guess.ways))
    guess.fit(scaled, done)
    report.stop()


def _fit_atlas(atlas: Maps, recipe: Recipe, plain: VolumeDataset) -> None:
    space, augment = recipe.representation, recipe.training.augment
    mirrored = augment is not None and augment.flip > 0
    values = {n: torch.stack([row[n] for row in plain.values]) for n in plain.values[0]}
    views = ([x, x.flip(2)] if mirrored else [x] for x in plain.made())
    atlas.fit(
        ([space.finish(view) for view in each] for each in views),
        values,
        count=len(plain.values),
        divisors=space.std or (1.0,) * space.channels,
        whiten=space.whiten,
    )


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

"""Runs: a recipe, a cohort and a folder become a generator; the same call again goes on.

A run folder holds recipe.json, split.json, cohort.csv, weights.safetensors, journal.jsonl,
tensorboard/, samples/, state/ and cache/; the last two may be deleted when the run is finished.
"""

import traceback
from collections import Counter
from pathlib import Path

import torch

from brainweave.data.cohort import Cohort
from brainweave.data.dataset import VolumeDataset
from brainweave.data.files import sweep, write_json
from brainweave.data.seeds import derive
from brainweave.errors import CheckpointError, Interrupted, RecipeError
from brainweave.generator import Generator
from brainweave.model_folder import RECIPE, WEIGHTS, load_recipe
from brainweave.part import difference, to_dict
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.training.checkpoint import States, writing
from brainweave.training.engine import Engine
from brainweave.training.finished import whole
from brainweave.training.journal import Journal, require_wandb
from brainweave.training.subjects import (
    COHORT,
    SPLIT,
    check,
    ids_of,
    listed,
    require_same,
    split,
)
from brainweave.training.trainer import LABELS, SAMPLES, STATE, Trainer, flexible

CACHE = "cache"


def train(
    recipe: Recipe,
    cohort: Cohort,
    folder: Path,
    *,
    device: str | None = None,
    wandb: str | None = None,
    show: bool = True,
) -> Generator:
    """Trains `recipe` on the subjects that have its target, and returns the generator that is kept.

    The folder is new, empty or that of the same run: then it goes on where its state says, exactly
    as if it had not stopped, and a finished run does nothing. device: see `Engine`. wandb: a
    project to log to. show: progress on standard error.

    Raises RecipeError where the folder is something else or another recipe's, CohortError or
    VolumeError for data that cannot be used (before the first step), TrainingError for a loss that
    is not finite, OutputError for a full disk, Interrupted after SIGTERM, SIGINT or SIGUSR1 with
    the state saved.
    """
    engine = Engine(device, recipe.training.precision)
    report = Reporter(quiet=not show or not engine.is_main)
    try:
        with engine.signals():
            finished = _run(recipe, cohort, Path(folder), engine, report, wandb)
    except BaseException as error:
        report.stop()
        traceback.clear_frames(error.__traceback__)  # they hold the model; see Engine.close
        engine.close(together=False)
        raise
    engine.close()
    if not finished:
        raise Interrupted(f"{folder}: stopped by a signal, state saved; the same command resumes")
    return Generator.load(Path(folder), engine.device)


def _run(
    recipe: Recipe,
    cohort: Cohort,
    folder: Path,
    engine: Engine,
    report: Reporter,
    wandb: str | None,
) -> bool:
    """Prepares, trains; whether the run is finished."""
    if wandb is not None:
        require_wandb()
    states = States(folder / STATE, report.say)
    known = _known(recipe, folder, states)
    if known and states.finished() and engine.first(lambda: whole(folder, known, states, report)):
        report.say(f"{folder}: this run is finished; nothing to do")
        return True
    parts = split(recipe, cohort, report)
    check(recipe, parts)
    require_same(folder, parts, begun=known is not None)
    engine.barrier()  # nobody writes before all have looked

    place, augment = folder / CACHE, recipe.training.augment
    training = recipe.dataset(parts.train, cache=place, augment=augment)
    validation = recipe.dataset(parts.val, cache=place) if parts.val else None
    engine.first(lambda: _prepare([training, validation], engine, report))
    if engine.is_main:
        resolved = known or _resolve(recipe, parts.train, training)
        with writing(folder):
            for place in (folder, states.folder, folder / SAMPLES):
                sweep(place)
            write_json(folder / SPLIT, ids_of(parts))
            listed(parts).to_csv(folder / COHORT)
            write_json(folder / RECIPE, to_dict(resolved))
    engine.barrier()

    torch.manual_seed(derive("weights", recipe.training.seed))
    generator = Generator(load_recipe(folder))
    trainer = Trainer(generator, training, validation, folder, engine, report=report)
    del generator
    journal = None
    try:
        trainer.resume() if known else trainer.save()
        if engine.is_main:
            with writing(folder):
                journal = Journal(folder, step=trainer.done, wandb=wandb)
        return trainer.run(journal)
    finally:
        trainer.close()
        if journal is not None:
            journal.close()


def _known(recipe: Recipe, folder: Path, states: States) -> Recipe | None:
    """The recipe of the run that began in `folder`, with what may change as now asked for.

    None for a new run. Raises RecipeError for another's folder.
    """
    if not (folder / RECIPE).is_file():
        if folder.exists() and not folder.is_dir():
            raise RecipeError(f"{folder} is a file; give a folder")
        found = [path.name for path in folder.iterdir()] if folder.exists() else []
        others = [name for name in found if name not in (CACHE, SPLIT, COHORT) and name[0] != "."]
        if others:
            raise RecipeError(
                f"{folder} is not empty and no run (it has {min(others)}); give a new folder"
            )
        return None
    begun = load_recipe(folder)
    free = {name: getattr(recipe.training, name) for name in flexible(begun.training)}
    labels = {name: getattr(recipe, name) for name in LABELS}
    if not recipe.sampling.grids:  # those that `tune` found stay
        labels["sampling"] = recipe.sampling.replace(grids=begun.sampling.grids)
    known = begun.replace(training=begun.training.replace(**free), **labels)
    rows = difference(known.unfitted(), recipe.replace(**labels).unfitted())
    if getattr(recipe.process.path, "offsets", None) is not None:  # given, not measured
        rows += difference(known.process.path, recipe.process.path, "process.path")
    if recipe.template is not None:
        rows += difference(known.template, recipe.template, "template")
    if rows:
        listed = "; ".join(f"{field} was {old!r}, now {new!r}" for field, old, new in rows)
        raise RecipeError(f"{folder} was begun with another recipe: {listed}; give a new folder")
    if not states.any():
        if (folder / WEIGHTS).exists():
            raise CheckpointError(
                f"{folder} has weights but no state to go on from; train in a new folder"
            )
        return None  # stopped before its first state
    return known


def _prepare(datasets: list[VolumeDataset | None], engine: Engine, report: Reporter) -> None:
    """Decodes and verifies every volume."""
    present = [dataset for dataset in datasets if dataset is not None]

    def advance(_done: int, _total: int) -> None:
        report.advance()
        if engine.stop_requested:
            raise Interrupted("stopped by a signal before step 1; the same command goes on")

    report.start("preparing volumes", sum(len(dataset.files()) for dataset in present))
    for dataset in present:
        dataset.prepare(advance)
    report.stop()


def _resolve(recipe: Recipe, cohort: Cohort, training: VolumeDataset) -> Recipe:
    """The recipe with what is measured on the training cohort, on the grid that most of it has."""
    template = recipe.template
    if template is None:
        grids = Counter(cohort.grids(recipe.targets).values())
        template = grids.most_common(1)[0][0].oriented(recipe.preprocess.orientation)
    return recipe.fitted(training, template)

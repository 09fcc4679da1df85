"""Runs: a recipe, a cohort and a folder become a generator; the same call again goes on.

A run folder holds recipe.json, split.json, cohort.csv, weights.safetensors, journal.jsonl,
tensorboard/, samples/, state/ and cache/; the last two may be deleted when the run is finished.
"""

import copy
import json
import traceback
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from brainweave.conditions.base import Condition
from brainweave.conditions.covariates import Category, Scalar
from brainweave.data.augment import Augment
from brainweave.data.check import owner
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.dataset import VolumeDataset
from brainweave.data.files import sweep, write_json
from brainweave.data.intensity import ZScore
from brainweave.data.seeds import derive
from brainweave.data.table import missing
from brainweave.errors import CheckpointError, CohortError, Interrupted, RecipeError
from brainweave.generator import RECIPE, WEIGHTS, Generator, load_recipe
from brainweave.part import difference, to_dict
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.training.checkpoint import States, writing
from brainweave.training.engine import Engine
from brainweave.training.finished import whole
from brainweave.training.journal import Journal, require_wandb
from brainweave.training.trainer import LABELS, SAMPLES, STATE, Trainer, flexible

SPLIT, COHORT, CACHE = "split.json", "cohort.csv", "cache"


class Splits(NamedTuple):
    """Who trains and who validates."""

    train: Cohort
    val: Cohort


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


def split(recipe: Recipe, cohort: Cohort, report: Reporter) -> Splits:
    """Subjects with the target, by the cohort's column `split`, else drawn by person, with every
    part spread over age where that is known."""
    excluded = [s.id for s in cohort if s.covariates.get("qc") == "exclude"]
    if excluded:
        report.say(f"left out, as their qc is 'exclude': {', '.join(excluded)}")
    cohort = Cohort([s for s in cohort if s.id not in excluded], cohort.source)
    usable = Cohort([s for s in cohort if recipe.target in s.images], cohort.source)
    if not usable:
        found = ", ".join(cohort.modalities) or "no image"
        raise CohortError(f"{cohort.source}: nobody has a {recipe.target}; there is {found}")
    if len(usable) < len(cohort):
        report.say(f"{len(usable)} of {len(cohort)} scans have a {recipe.target}")
    share = recipe.training.validation
    if any(s.split for s in usable):
        others = Counter(s.split or "n/a" for s in usable if s.split not in Splits._fields)
        if others:
            listed = ", ".join(f"{name} {count}" for name, count in others.items())
            report.say(f"splits other than train and val are left alone: {listed}")
    elif share:
        by = "age" if "age" in usable.covariates else None
        usable = usable.split({"train": 1 - share, "val": share}, recipe.training.seed, by=by)
    else:
        return Splits(usable, usable[:0])
    train, val = ([s for s in usable if s.split == name] for name in Splits._fields)
    parts = Splits(Cohort(train, usable.source), Cohort(val, usable.source))
    if not parts.train:
        raise CohortError(f"{cohort.source}: nobody is in the split 'train'")
    return parts


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
    _check(recipe, parts)
    _same_subjects(folder, parts, begun=known is not None)
    engine.barrier()  # nobody writes before all have looked

    training = _dataset(recipe, parts.train, folder, recipe.training.augment)
    validation = _dataset(recipe, parts.val, folder) if parts.val else None
    engine.first(lambda: _prepare([training, validation], engine, report))
    if engine.is_main:
        resolved = known or _resolve(recipe, parts.train, training)
        with writing(folder):
            for place in (folder, states.folder, folder / SAMPLES):
                sweep(place)
            write_json(folder / SPLIT, _ids(parts))
            _listed(parts).to_csv(folder / COHORT)
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
    known = begun.replace(training=begun.training.replace(**free), **labels)
    rows = difference(known.unfitted(), recipe.unfitted())
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


def _check(recipe: Recipe, parts: Splits) -> None:
    """Every header, every covariate; see `Cohort.check`."""
    if isinstance(recipe.preprocess.intensity, ZScore):
        raise RecipeError(
            "preprocess.intensity=ZScore puts background at another value in every volume, so that "
            "generated ones would have none; use Percentiles or Fixed"
        )
    if recipe.training.patience and not parts.val:
        raise RecipeError("training.patience needs validation subjects; set training.validation")
    numbers = [c for c in recipe.conditions if isinstance(c, Scalar)]
    ranges = {c.name: (c.low, c.high) for c in numbers}
    categories = {c.name: c.values for c in recipe.conditions if isinstance(c, Category)}
    parts.train.check(recipe.target, ranges=ranges, categories=categories)
    if parts.val:
        parts.val.check(recipe.target, ranges=ranges, categories=categories)
    for condition in recipe.conditions:
        if not getattr(condition, "learned_null", True):
            _require_all(condition.name, recipe.target, parts)


def _require_all(name: str, target: str, parts: Splits) -> None:
    """Raises CohortError for a subject without a value that the model could not do without."""
    for part in parts:
        for subject in part:
            if missing(subject.covariates.get(name)):
                raise CohortError(
                    f"{part.source}: {owner(subject, target)} has no {name}, and nothing stands "
                    f"for a missing one; leave it out or give the condition learned_null=true"
                )


def _same_subjects(folder: Path, parts: Splits, *, begun: bool) -> None:
    """Raises CohortError where a run that began had other subjects."""
    if not begun:
        return
    path = folder / SPLIT
    before = json.loads(path.read_text()) if path.is_file() else {}
    for name, ids in _ids(parts).items():
        if before.get(name) != ids:
            odd = sorted(set(before.get(name, [])) ^ set(ids))
            raise CohortError(
                f"{path}: the run began with other subjects in {name!r}"
                + (f" ({len(odd)} differ, such as {odd[0]!r})" if odd else " or another order")
                + "; give the same cohort or a new folder"
            )


def _listed(parts: Splits) -> Cohort:
    """Everybody with the part they were in."""
    named = zip(Splits._fields, parts, strict=True)
    return Cohort([replace(s, split=name) for name, part in named for s in part], "run")


def _ids(parts: Splits) -> dict[str, list[str]]:
    return {name: [s.id for s in part] for name, part in parts._asdict().items()}


def _dataset(
    recipe: Recipe, part: Cohort, folder: Path, augment: Augment | None = None
) -> VolumeDataset:
    return VolumeDataset(
        part,
        recipe.target,
        recipe.preprocess,
        read=partial(_read, recipe.conditions),
        cache=folder / CACHE,
        augment=augment,
    )


def _read(conditions: tuple[Condition, ...], subject: Subject) -> dict[str, Tensor]:
    return {condition.name: condition.read(subject) for condition in conditions}


def _prepare(datasets: list[VolumeDataset | None], engine: Engine, report: Reporter) -> None:
    """Decodes and verifies every volume."""
    present = [dataset for dataset in datasets if dataset is not None]

    def advance(_done: int, _total: int) -> None:
        report.advance()
        if engine.stop_requested:
            raise Interrupted("stopped by a signal before step 1; the same command goes on")

    report.start("preparing volumes", sum(len(dataset) for dataset in present))
    for dataset in present:
        dataset.prepare(advance)
    report.stop()


def _resolve(recipe: Recipe, cohort: Cohort, training: VolumeDataset) -> Recipe:
    """The recipe with what is measured on the training cohort, on the grid that most of it has."""
    template = recipe.template
    if template is None:
        grids = Counter(cohort.grids(recipe.target).values())
        template = grids.most_common(1)[0][0].oriented(recipe.preprocess.orientation)
    plain = copy.copy(training)
    plain.augment = None
    volumes = (plain[index, 0].volume[None] for index in range(len(plain)))
    return recipe.fitted(volumes, template)

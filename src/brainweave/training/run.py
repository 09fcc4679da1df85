"""Runs: a recipe, a cohort and a folder become a model; the same call again goes on.

A run folder holds recipe.json, split.json, cohort.csv, weights.safetensors, journal.jsonl,
tensorboard/, samples/, state/ and cache/; the last two may be deleted when the run is finished.
One process, or group of processes, trains in it at a time.
"""

import time
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from brainweave.compression import AutoencoderRecipe
from brainweave.data.cohort import Cohort
from brainweave.data.files import sweep, write_json
from brainweave.data.seeds import derive
from brainweave.errors import CheckpointError, Interrupted, OutputError, RecipeError
from brainweave.generator import Generator
from brainweave.latent_folder import require
from brainweave.model_folder import RECIPE, WEIGHTS, Plan, load_plan
from brainweave.part import difference
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.representations.autoencoders import Autoencoder
from brainweave.representations.latent import Latent
from brainweave.training.autoencoder import AutoencoderTrainer
from brainweave.training.checkpoint import States, claim, writing
from brainweave.training.engine import Engine
from brainweave.training.finished import whole
from brainweave.training.journal import Journal, require_wandb
from brainweave.training.loop import SAMPLES, STATE, Loop, Volumes
from brainweave.training.models import (
    build,
    fitted,
    flexible,
    labels,
    load,
    measured,
    note,
    started,
)
from brainweave.training.pace import minutes_of, paced
from brainweave.training.prepare import heed, prepare
from brainweave.training.subjects import (
    COHORT,
    SPLIT,
    check,
    ids_of,
    listed,
    require_same,
    split,
    tell_seen,
)
from brainweave.training.trainer import Trainer

CACHE = "cache"
LOOPS: dict[type, type[Loop]] = {Recipe: Trainer, AutoencoderRecipe: AutoencoderTrainer}


@overload
def train(
    recipe: Recipe,
    cohort: Cohort,
    folder: Path,
    *,
    latents: Path | None = None,
    start: Path | None = None,
    device: str | None = None,
    wandb: str | None = None,
    show: bool = True,
) -> Generator: ...


@overload
def train(
    recipe: AutoencoderRecipe,
    cohort: Cohort,
    folder: Path,
    *,
    latents: Path | None = None,
    start: Path | None = None,
    device: str | None = None,
    wandb: str | None = None,
    show: bool = True,
) -> Autoencoder: ...


def train(  # noqa: PLR0913 - one per option
    recipe: Plan,
    cohort: Cohort,
    folder: Path,
    *,
    latents: Path | None = None,
    start: Path | None = None,
    device: str | None = None,
    wandb: str | None = None,
    show: bool = True,
) -> Generator | Autoencoder:
    """Trains `recipe` on the subjects that have its target, and returns the model that is kept.

    The folder is new, empty or that of the same run: then it goes on where its state says, exactly
    as if it had not stopped, and a finished run does nothing. latents: what `encode` made of the
    cohort, for recipes in latents; else the run makes its own. start: a model whose weights step 1
    begins from; what is measured on a cohort is measured anew. device: see `Engine`. wandb: a
    project to log to. show: progress on standard error.

    Raises RecipeError where the folder is something else or another recipe's, CheckpointError for
    latents, an autoencoder or a start that are not the recipe's, CohortError or VolumeError for
    data that cannot be used (all before the first step), TrainingError for a loss that is not
    finite, OutputError for a full disk, Interrupted after SIGTERM, SIGINT or SIGUSR1 with the state
    saved.
    """
    engine = Engine(device, recipe.training.precision)
    report = Reporter(quiet=not show or not engine.is_main)
    if engine.precision != recipe.training.precision:
        report.say("this CPU only imitates bf16: computing in float32, which is faster here")
    try:
        with engine.signals():
            finished = _run(recipe, cohort, Path(folder), latents, start, engine, report, wandb)
    except BaseException as error:
        report.stop()
        traceback.clear_frames(error.__traceback__)  # they hold the model; see Engine.close
        engine.close(together=False)
        raise
    engine.close()
    if not finished:
        raise Interrupted(f"{folder}: stopped by a signal, state saved; the same command resumes")
    if engine.stop_requested:  # whoever calls has more to do, and is to stop as well
        raise Interrupted(f"{folder}: stopped by a signal as the run was finished")
    return load(Path(folder), engine.device)


def _run(  # noqa: PLR0913 - of `train`
    recipe: Plan,
    cohort: Cohort,
    folder: Path,
    latents: Path | None,
    start: Path | None,
    engine: Engine,
    report: Reporter,
    wandb: str | None,
) -> bool:
    """Prepares, trains; whether the run is finished."""
    began = time.monotonic()
    recipe, weights = started(recipe, start)
    if wandb is not None:
        require_wandb()
    minutes = minutes_of(recipe, engine)
    states = States(folder / STATE, report.say)
    known = _known(recipe, folder, states)
    if known and states.finished() and engine.first(lambda: whole(folder, known, states, report)):
        report.say(f"{folder}: this run is finished; nothing to do")
        return True
    parts = split(recipe, cohort, report)
    check(recipe, parts)
    require_same(folder, parts, begun=known is not None)
    engine.barrier()  # nobody writes before all have looked

    place = _place(recipe, folder, latents)
    tell_seen(recipe, parts, report)
    volumes = Volumes(
        recipe.dataset(parts.train, cache=place, training=True),
        recipe.dataset(parts.val, cache=place) if parts.val else None,
    )
    engine.first(lambda: prepare(volumes, engine, report))
    held, found = claim(folder) if engine.is_main else None, dict[str, Tensor]()
    if known is None and states.any():
        raise OutputError(f"{folder}: a run began there meanwhile; the same command goes on")
    if engine.is_main:
        data, stop = volumes.training, partial(heed, engine)
        resolved = known or fitted(recipe, parts.train, data, report)
        found = {} if known else measured(resolved, data, report, stop) | weights
        if minutes is not None and not known:
            trial = _loop(resolved, volumes, folder, engine, report, found)
            resolved = paced(trial, minutes, began, report)
        with writing(folder):
            for place in (folder, states.folder, folder / SAMPLES):
                sweep(place)
            write_json(folder / SPLIT, ids_of(parts))
            listed(parts).to_csv(folder / COHORT)
            note(folder, resolved)
    engine.barrier()

    recipe, journal = load_plan(folder), None
    trainer = _loop(recipe, volumes, folder, engine, report, found)
    try:
        _start(trainer, begun=known is not None)
        if engine.is_main:
            with writing(folder):
                journal = Journal(folder, step=trainer.done, wandb=wandb)
        return trainer.run(journal)
    finally:
        trainer.close()
        if journal is not None:
            journal.close()
        if held is not None:
            held.close()


def _loop(
    recipe: Plan,
    volumes: Volumes,
    folder: Path,
    engine: Engine,
    report: Reporter,
    found: Mapping[str, Tensor],
) -> Loop:
    """The loop of a recipe, its model as it is before step 1, with what was measured."""
    torch.manual_seed(derive("weights", recipe.training.seed))
    module = build(recipe)
    module.load_state_dict(found, strict=False)
    return LOOPS[type(recipe)](module, recipe, volumes, folder, engine, report=report)


def _start(trainer: Loop, *, begun: bool) -> None:
    """From its state, or with a first one, from which the others have what the first measured."""
    if not begun:
        trainer.save()
    if begun or trainer.engine.world > 1:
        trainer.resume()


def _place(recipe: Plan, folder: Path, latents: Path | None) -> Path:
    """Where volumes are kept, or their latents. Raises CheckpointError for another's latents and
    for latents without an autoencoder."""
    space = recipe.representation if isinstance(recipe, Recipe) else None
    if not isinstance(space, Latent):
        if latents is not None:
            raise RecipeError(f"latents={latents}: {recipe.name} does not work on latents")
        return folder / CACHE
    space.require()
    if latents is None:
        return folder / CACHE
    require(latents, space, recipe.preprocess)
    return latents


def _known(recipe: Plan, folder: Path, states: States) -> Plan | None:
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
    begun = load_plan(folder)
    known, rows = _continued(begun, recipe)
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


def _continued(begun: Plan, recipe: Plan) -> tuple[Plan, list[tuple[str, Any, Any]]]:
    """The recipe of a run with what may change as now asked for, and where else they differ."""
    if type(begun) is not type(recipe):
        return begun, [("part", type(begun).__name__, type(recipe).__name__)]
    told = {name: getattr(recipe, name) for name in labels(recipe)}
    rows = []
    if isinstance(recipe, Recipe) and isinstance(begun, Recipe):
        if not recipe.sampling.grids:  # those that `tune` found stay
            told["sampling"] = recipe.sampling.replace(grids=begun.sampling.grids)
        if getattr(recipe.process.path, "offsets", None) is not None:  # given, not measured
            rows = difference(begun.process.path, recipe.process.path, "process.path")
    free = {name: getattr(recipe.training, name) for name in flexible(begun.training)}
    known = begun.replace(training=begun.training.replace(**free), **told)
    rows = difference(known.unfitted(), recipe.replace(**told).unfitted()) + rows
    if recipe.template is not None:
        rows += difference(known.template, recipe.template, "template")
    return known, rows

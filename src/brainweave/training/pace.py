"""How many steps fit into a time: `training.minutes` becomes `training.within`, before step 1."""

import time
from statistics import median

from brainweave.errors import Interrupted, TrainingError
from brainweave.model_folder import Plan
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.training.engine import Engine
from brainweave.training.loop import Loop

TIMED = 6  # steps at least; the first half sets things up while loaders still fill their queues
TRIAL = 0.02  # of the time that is left is spent on steps that are timed
SPARE = 0.05  # of the time that is left, for validation, pictures and saving


def minutes_of(recipe: Plan, engine: Engine) -> float | None:
    """What `training.minutes` asks for, where a recipe has it. Raises TrainingError where several
    processes train: their pace differs."""
    minutes = recipe.training.minutes if isinstance(recipe, Recipe) else None
    if minutes is not None and engine.world > 1:
        raise TrainingError(
            f"training.minutes={minutes:g} needs one process, got {engine.world}; "
            "give training.minutes=none and training.steps"
        )
    return minutes


def paced(trial: Loop, minutes: float, began: float, report: Reporter) -> Recipe:
    """The recipe of a trial, which is thrown away, with the number of steps that fit into minutes
    from `began` on (of `time.monotonic`), by a few that it makes; one at least.

    Raises Interrupted where a stop is asked: a pace of too few steps would stay."""
    recipe = trial.recipe
    assert isinstance(recipe, Recipe)
    try:
        seconds = _seconds(trial, TRIAL * (60 * minutes - (time.monotonic() - began)), report)
        left = (60 * minutes - (time.monotonic() - began)) * (1 - SPARE)
        within, total = max(1, int(left / seconds)), trial.total
    finally:
        trial.close()
    report.say(
        f"{seconds:.3g} s a step: {min(within, total)} of {total} steps fit into "
        f"{minutes:g} minutes"
    )
    return recipe.replace(training=recipe.training.replace(within=within))


def _seconds(trial: Loop, enough: float, report: Reporter) -> float:
    """Of a step: the median of the later half of those that `enough` seconds allow."""
    least, batches = min(TIMED, trial.total), trial.batches()
    times: list[float] = []
    report.start("timing steps", 100)
    while len(times) < least or (sum(times) < enough and len(times) < trial.total):
        if trial.engine.stop_requested:
            raise Interrupted("stopped by a signal before step 1; the same command goes on")
        began = time.monotonic()
        trial.step(batches)
        times.append(time.monotonic() - began)
        done = min(len(times) / least, sum(times) / enough if enough > 0 else 1.0)
        report.advance(to=min(100, int(100 * done)))
    report.stop()
    return median(times[len(times) // 2 :])

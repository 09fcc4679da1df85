"""How many steps fit into a time: `training.minutes` becomes `training.within`, before step 1."""

import time
from statistics import median

from brainweave.errors import TrainingError
from brainweave.model_folder import Plan
from brainweave.progress import Reporter
from brainweave.training.engine import Engine
from brainweave.training.loop import Loop

TIMED = 6  # steps, after a first one that sets things up
SPARE = 0.05  # of the time that is left, for validation, pictures and saving


def require_one(recipe: Plan, engine: Engine) -> None:
    """Raises TrainingError for minutes where several processes train: their pace differs."""
    if recipe.training.minutes is not None and engine.world > 1:
        raise TrainingError(
            f"training.minutes={recipe.training.minutes:g} needs one process, got {engine.world}; "
            "give training.minutes=none and training.steps"
        )


def paced(recipe: Plan, trial: Loop, began: float, report: Reporter) -> Plan:
    """The recipe with the number of steps that fit into its minutes from `began` on (of
    `time.monotonic`), by those of a trial that is thrown away; one step at least."""
    plan = recipe.training
    assert plan.minutes is not None
    try:
        seconds = _seconds(trial, report)
        left = (60 * plan.minutes - (time.monotonic() - began)) * (1 - SPARE)
        within, total = max(1, int(left / seconds)), trial.total
    finally:
        trial.close()
    report.say(
        f"{seconds:.3g} s a step: {min(within, total)} of {total} steps fit into "
        f"{plan.minutes:g} minutes"
    )
    return recipe.replace(training=plan.replace(within=within))


def _seconds(trial: Loop, report: Reporter) -> float:
    """Of a step: the median of a few."""
    count, batches = min(TIMED + 1, trial.total), trial.batches()
    times: list[float] = []
    report.start("timing steps", count)
    while len(times) < count and not trial.engine.stop_requested:
        began = time.monotonic()
        trial.step(batches)
        times.append(time.monotonic() - began)
        report.advance()
    report.stop()
    return median(times[1:] or times or [1.0])

"""Finished runs: their weights are there and whole, or made again from the last state."""

from pathlib import Path

from brainweave.data.tensors import load_tensors
from brainweave.errors import CheckpointError
from brainweave.model_folder import WEIGHTS, Plan, load_plan
from brainweave.progress import Reporter
from brainweave.training.checkpoint import States, sorted_by_part, writing
from brainweave.training.models import build, identity, load, save


def whole(folder: Path, known: Plan, states: States, report: Reporter) -> bool:
    """Whether a finished run has its weights, after making them again from the state if need be.

    False where the last state is damaged as well: then there is something left to train. Raises
    CheckpointError where the weights were those of another step (`training.patience`).
    """
    try:
        load_tensors(folder / WEIGHTS)
    except CheckpointError as error:
        if known.training.patience:
            raise CheckpointError(
                f"{error}. With training.patience the best weights are in this file alone: restore "
                "it from a copy or train in a new folder"
            ) from None
        tensors, facts = states.load()
        if not facts.finished:
            return False
        if facts.recipe != identity(known):
            raise
        parts, module = sorted_by_part(tensors), build(known)
        module.load_state_dict(parts["ema"] or parts["weights"])
        with writing(folder / WEIGHTS):
            save(folder, known, module)
        report.say(f"{folder / WEIGHTS} was missing or damaged: made again from the last state")
    if load_plan(folder) != known:  # only its labels
        module = load(folder)
        with writing(folder):
            save(folder, known, module)
    return True

"""Errors a user can cause. Each message is one line: what was got, what is needed, what to do."""

FULL_DISK = 75  # exit code: try again later


class BrainweaveError(Exception):
    """Base of every error that brainweave raises on purpose; `exit_code` is the command's."""

    exit_code = 3


class RecipeError(BrainweaveError):
    """A recipe, a field of it or an assignment to it makes no sense."""

    exit_code = 2


class ShapeError(BrainweaveError):
    """A shape does not fit what it is used for."""


class VolumeError(BrainweaveError):
    """A file is not a usable volume: unreadable, not finite, without geometry."""


class CohortError(BrainweaveError):
    """A table or folder of subjects is incomplete, contradictory or unreadable."""


class ConditionError(BrainweaveError):
    """A value was asked for that the model cannot hear."""

    exit_code = 2


class CheckpointError(BrainweaveError):
    """A model or run folder is missing a file, does not verify or does not match."""


class TrainingError(BrainweaveError):
    """Training cannot go on, such as after a loss that is not finite."""


class EvaluationError(BrainweaveError):
    """A comparison that what was given does not allow."""


class Interrupted(BrainweaveError):  # noqa: N818 - nothing went wrong
    """A signal ended a run early; its state is saved and the same command goes on."""

    exit_code = 85  # asks a batch system to start it again


class OutputError(BrainweaveError):
    """An output cannot be written where it was asked for."""

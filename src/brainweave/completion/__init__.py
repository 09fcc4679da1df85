"""From a model and cases to the volumes that they lack."""

from brainweave.completion.command import Completion, complete

__all__ = ["Completion", "complete"]

"""Few steps that are well placed: time grids fitted to a trained model."""

from brainweave.tuning.command import Tuned, tune

__all__ = ["Tuned", "tune"]

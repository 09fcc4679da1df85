"""What is found once a model is trained: time grids of few steps, a tone curve."""

from brainweave.tuning.command import Tuned, tune
from brainweave.tuning.histograms import Toned, tone

__all__ = ["Toned", "Tuned", "tone", "tune"]

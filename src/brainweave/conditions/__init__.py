"""What a volume may depend on: covariates of the subject."""

from brainweave.conditions.base import Condition, Signal
from brainweave.conditions.covariates import Category, Scalar

__all__ = ["Category", "Condition", "Scalar", "Signal"]

"""What a volume may depend on: covariates of the subject, its other images, a label map."""

from brainweave.conditions.base import Condition, Covariate, Signal
from brainweave.conditions.covariates import Category, Scalar
from brainweave.conditions.images import Images, Mask

__all__ = ["Category", "Condition", "Covariate", "Images", "Mask", "Scalar", "Signal"]

"""What a volume may depend on: covariates of the subject, its other images, a label map."""

from brainweave.conditions.base import Condition, Covariate, Signal, Value
from brainweave.conditions.choices import Binary, Choice, Ordinal, SetOf
from brainweave.conditions.continuous import Continuous
from brainweave.conditions.covariates import Category, Scalar
from brainweave.conditions.images import Images, Mask
from brainweave.conditions.metadata import Metadatum
from brainweave.conditions.spacing import Spacing

__all__ = [
    "Binary",
    "Category",
    "Choice",
    "Condition",
    "Continuous",
    "Covariate",
    "Images",
    "Mask",
    "Metadatum",
    "Ordinal",
    "Scalar",
    "SetOf",
    "Signal",
    "Spacing",
    "Value",
]

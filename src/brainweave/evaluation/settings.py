"""How a comparison is made: every choice that changes a number of the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brainweave.data.grid import Shape, Spacing
from brainweave.evaluation.priors import Priors
from brainweave.evaluation.scans import Scale

FEATURES = ("wavelet", "pca", "random-cnn", "regions")


@dataclass(frozen=True)
class Settings:
    """Choices of `evaluate`.

    by: covariates to compare within too, as sex, site; "age_bin" is the decade of age.
    features: names of extractors, or module:function. options: what each is built with, by name.
    metrics: of feature vectors; None for all that `comparison.METRICS` computes by default.
    priors: regions of the brain by place; without them anatomy is CSF, grey and white matter.
    paired: compare volumes of equal ids voxel by voxel too.
    spacing, shape, scale: see `open_sides`.
    draws: of halves, for nulls and intervals. pairs: for the diversity within a side.
    """

    modality: str = "t1w"
    by: tuple[str, ...] = ()
    features: tuple[str, ...] = FEATURES
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    priors: Priors | None = None
    paired: bool = False
    spacing: Spacing | None = None
    shape: Shape | None = None
    scale: Scale = "auto"
    draws: int = 50
    pairs: int = 100
    seed: int = 0

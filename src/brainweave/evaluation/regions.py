"""Volumes of tissues and regions as features: what anatomy a brain has, whatever its texture."""

from pathlib import Path
from typing import Any

import numpy as np

from brainweave.data.grid import Spacing
from brainweave.evaluation.anatomy import Anatomy
from brainweave.evaluation.extractors.base import Array, Extractor, Vector
from brainweave.evaluation.priors import Priors

LEAST = 0.05  # ml added before the logarithm: what is smaller is noise at 2 mm
VERSION = 1  # of the numbers; raise it when `Anatomy` measures otherwise


class Regions(Extractor):
    """The log of the ml of each region and tissue (`Anatomy.names`).

    A log, because spread grows with size: a third ventricle that is twice another weighs as much
    as a cortex that is. Not divided by the head: registration to a template has done so already,
    in native space size is something that brains should have right, and a ratio is a difference of
    logs, which a linear model finds. priors: on the grid of the volumes; a path is loaded.
    """

    name = "regions"

    def __init__(self, priors: Priors | Path | str | None = None) -> None:
        found = Priors.load(Path(priors)) if isinstance(priors, Path | str) else priors
        self.anatomy = Anatomy(found)
        self.dimension = len(self.anatomy.names)
        self.content = found.digest if found is not None else ""
        self.preprocessing: dict[str, Any] = {
            "version": VERSION,
            "names": list(self.anatomy.names),
            "least_ml": LEAST,
        }

    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        """The logs of ml. Raises EvaluationError as `Anatomy.measure` does."""
        return np.log(self.anatomy.measure(volume, spacing).vector + LEAST)

"""What turns a volume into a feature vector, and how it is told apart from every other way.

A new extractor is one subclass of `Extractor` with a line in the registry of this package.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from brainweave.data.files import digest
from brainweave.data.grid import Spacing

Array = Float[np.ndarray, "i j k"]
Vector = Float[np.ndarray, "d"]
Arrays = Float[np.ndarray, "..."]


class Extractor(ABC):
    """Volumes in 0..1 with background 0 to float64 vectors; instances do not change.

    name: as in the registry and in scores. dimension: the vectors' length, 0 while not known.
    preprocessing: JSON with all that decides the numbers beside `content`, a version among it.
    content: the SHA-256 of the weights or of what was fitted; empty where there is neither.
    ready: whether it can be called; False asks for `fitted` first.
    """

    name: str
    dimension: int
    preprocessing: dict[str, Any]
    content: str = ""
    ready: bool = True

    @abstractmethod
    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        """The features of one volume; spacing in mm.

        Raises EvaluationError where this volume or grid has none, or before `fitted`.
        """

    def fitted(self, volumes: Iterable[Array], spacing: Spacing) -> "Extractor":
        """The extractor adapted to these volumes, which are read once; itself if it needs none."""
        return self

    def state(self) -> dict[str, Arrays]:
        """What `fitted` found, to be kept on disk; empty: nothing, or it is found anew each time.

        Whoever returns some overrides `restored` as well.
        """
        return {}

    def restored(self, state: dict[str, Arrays]) -> "Extractor":
        """The fitted extractor that returned this `state`."""
        return self

    @property
    def digest(self) -> str:
        """The SHA-256 that tells these features from all others."""
        facts = {"name": self.name, "preprocessing": self.preprocessing, "content": self.content}
        return digest(facts)

"""The size of a volume's voxels, read off its file."""

import math

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainweave.conditions.base import Covariate, Encode, Value, Words
from brainweave.conditions.covariates import CovariateEmbedder
from brainweave.data.cohort import Subject
from brainweave.data.table import missing
from brainweave.data.volume import read_grid
from brainweave.errors import ConditionError


class Spacing(Covariate):
    """Millimetres between voxels along right, anterior and superior, as MAISI is told them
    (arXiv:2409.11169): "1x1x2", or "1" for all three. The network hears their logarithms.

    low, high: what is trained. For recipes that leave spacings as they are; `preprocess.spacing`
    makes them all one.
    """

    name: str = "spacing"
    low: float = Field(default=0.5, gt=0)
    high: float = Field(default=6.0, gt=0)

    @model_validator(mode="after")
    def _is_a_range(self) -> "Spacing":
        if not self.low < self.high:
            raise ValueError(f"{self.name}: low {self.low:g} must be below high {self.high:g}")
        return self

    @property
    def size(self) -> int:
        return 3

    def known(self, words: Words) -> Value:
        return self.parse(words.get(self.name, math.nan))

    def read(self, subject: Subject, modality: str = "") -> Float[Tensor, "3"]:
        """Of the column of its name, if there is one, else of the file of the modality, or the
        first. Raises ConditionError for one that is not between low and high."""
        if not missing(subject.covariates.get(self.name)):
            return super().read(subject)
        path = subject.images.get(modality) or next(iter(subject.images.values()))
        found = self.show(read_grid(path).oriented("RAS").spacing)
        try:
            return torch.tensor(self.parse(str(found)))
        except ConditionError as error:
            raise ConditionError(f"{path}: {error}; widen low and high to train on it") from None

    def parse(self, value: str | float, *, extrapolate: bool = False) -> Value:
        if missing(value):
            return self.absent
        words = str(value).lower().split("x")
        try:
            edges = [float(word) for word in words]
        except ValueError:
            edges = []
        if len(edges) not in (1, 3) or not all(0 < edge < math.inf for edge in edges):
            raise ConditionError(f"{self.name}={value}: millimetres are needed, as 1x1x2, or 1")
        i, j, k = edges * 3 if len(edges) == 1 else edges
        if not extrapolate and not self.low <= min(i, j, k) <= max(i, j, k) <= self.high:
            raise ConditionError(
                f"{self.name}={value} is outside the trained {self.low:g} to {self.high:g} mm; "
                "--extrapolate makes it anyway"
            )
        return i, j, k

    def show(self, value: Value) -> str | None:
        return None if math.isnan(value[0]) else "x".join(f"{edge:g}" for edge in value)

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        layers = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width))
        return CovariateEmbedder(layers, width, self.embed, tokens=1)

    def embed(self, layers: nn.Module, value: Float[Tensor, "b 3"]) -> Float[Tensor, "b width"]:
        return layers(value.clamp(min=1e-3).log2())

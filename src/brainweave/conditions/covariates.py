"""Covariates of a subject: numbers (age) and categories (sex, site, diagnosis)."""

import math

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainweave.conditions.base import Covariate, Encode, Signal
from brainweave.data.cohort import Subject
from brainweave.data.table import missing, spelled, written
from brainweave.errors import ConditionError
from brainweave.part import hint


class Scalar(Covariate):
    """A number on a known range, such as age in years; the network sees [low, high] as [0, 1].

    tokens: how many tokens it says, so that cross-attention has something to choose between.
    learned_null: a value that is missing or dropped is one learned vector; otherwise it adds
        nothing, as in FlowLet (arXiv:2601.05212).
    """

    name: str
    low: float
    high: float
    tokens: int = Field(default=1, ge=1)
    learned_null: bool = True

    @model_validator(mode="after")
    def _is_a_range(self) -> "Scalar":
        if not self.low < self.high:
            raise ValueError(f"{self.name}: low {self.low:g} must be below high {self.high:g}")
        return self

    def read(self, subject: Subject) -> Float[Tensor, "1"]:
        raw = subject.covariates.get(self.name, math.nan)
        try:
            return torch.tensor([float(raw)])
        except ValueError:
            raise ConditionError(
                f"subject {subject.id!r}: {self.name} is {raw!r}; a number or n/a is needed"
            ) from None

    def parse(self, value: str | float, *, extrapolate: bool = False) -> float:
        if missing(value):
            return math.nan
        try:
            number = float(value)
        except ValueError:
            raise ConditionError(f"{self.name}={value}: a number or n/a is needed") from None
        if not math.isfinite(number):
            raise ConditionError(f"{self.name}={value}: a finite number or n/a is needed")
        if not extrapolate and not self.low <= number <= self.high:
            raise ConditionError(
                f"{self.name}={number:g} is outside the trained {self.low:g} to {self.high:g}; "
                "--extrapolate makes it anyway"
            )
        return number

    def show(self, value: float) -> float | None:
        return None if math.isnan(value) else value

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        layers = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        return CovariateEmbedder(self, layers, width)

    def embed(self, layers: nn.Module, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b width"]:
        return layers((value - self.low) / (self.high - self.low))


class Category(Covariate):
    """One of a few names, such as sex F or M. `tokens`, `learned_null`: as in `Scalar`."""

    name: str
    values: tuple[str, ...] = Field(min_length=1)
    tokens: int = Field(default=1, ge=1)
    learned_null: bool = True

    def read(self, subject: Subject) -> Float[Tensor, "1"]:
        raw = subject.covariates.get(self.name, "")
        try:
            return torch.tensor([self.parse(raw)])
        except ConditionError as error:
            raise ConditionError(f"subject {subject.id!r}: {error}") from None

    def parse(self, value: str | float, *, extrapolate: bool = False) -> float:
        if missing(value):
            return math.nan
        text = spelled(self.name, written(value))
        for index, name in enumerate(self.values):
            if text.lower() == name.lower():
                return float(index)
        raise ConditionError(f"{self.name}={text} is unknown{hint(text, self.values)}")

    def show(self, value: float) -> str | None:
        return None if math.isnan(value) else self.values[int(value)]

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        return CovariateEmbedder(self, nn.Embedding(len(self.values), width), width)

    def embed(self, layers: nn.Module, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b width"]:
        return layers(value[:, 0].long())


class CovariateEmbedder(nn.Module):
    """(value, keep) -> a vector and the tokens made of it; the null where hidden or missing."""

    null: Tensor

    def __init__(self, condition: Scalar | Category, layers: nn.Module, width: int) -> None:
        super().__init__()
        self.condition, self.layers = condition, layers
        if condition.learned_null:
            self.null = nn.Parameter(torch.zeros(width))
        else:
            self.register_buffer("null", torch.zeros(width), persistent=False)
        self.speak = nn.Linear(width, condition.tokens * width) if condition.tokens > 1 else None

    def forward(self, value: Float[Tensor, "b 1"], keep: Bool[Tensor, "b"]) -> Signal:
        known = keep & ~value[:, 0].isnan()
        vector = self.condition.embed(self.layers, torch.where(known[:, None], value, 0.0))
        vector = torch.where(known[:, None], vector, self.null.to(vector.dtype))
        tokens = vector if self.speak is None else self.speak(vector)
        return Signal(vector=vector, tokens=tokens.unflatten(1, (self.condition.tokens, -1)))

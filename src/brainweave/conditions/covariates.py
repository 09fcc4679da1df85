"""Covariates of a subject: numbers (age) and categories (sex, site, diagnosis)."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainweave.conditions.base import Covariate, Encode, Signal, Value, Words
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

    def known(self, words: Words) -> Value:
        raw = words.get(self.name, math.nan)
        if missing(raw):
            return self.absent
        try:
            return (float(raw),)
        except ValueError:
            raise ConditionError(f"{self.name} is {raw!r}; a number or n/a is needed") from None

    def parse(self, value: str | float, *, extrapolate: bool = False) -> Value:
        if missing(value):
            return self.absent
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
        return (number,)

    def show(self, value: Value) -> float | None:
        return None if math.isnan(value[0]) else value[0]

    def regressors(self, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b 2"]:
        u = (value - self.low) / (self.high - self.low)
        return torch.cat([u, u.square()], dim=1)

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        layers = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        return CovariateEmbedder(
            layers, width, self.embed, tokens=self.tokens, learned_null=self.learned_null
        )

    def embed(self, layers: nn.Module, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b width"]:
        return layers((value - self.low) / (self.high - self.low))


class Category(Covariate):
    """One of a few names, such as sex F or M. `tokens`, `learned_null`: as in `Scalar`."""

    name: str
    values: tuple[str, ...] = Field(min_length=1)
    tokens: int = Field(default=1, ge=1)
    learned_null: bool = True

    def known(self, words: Words) -> Value:
        return self.parse(words.get(self.name, ""))

    def parse(self, value: str | float, *, extrapolate: bool = False) -> Value:
        if missing(value):
            return self.absent
        text = spelled(self.name, written(value))
        for index, name in enumerate(self.values):
            if text.lower() == name.lower():
                return (float(index),)
        raise ConditionError(f"{self.name}={text} is unknown{hint(text, self.values)}")

    def show(self, value: Value) -> str | None:
        return None if math.isnan(value[0]) else self.values[int(value[0])]

    def regressors(self, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b _"]:
        return indicators(value, len(self.values))

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        layers = nn.Embedding(len(self.values), width)
        return CovariateEmbedder(
            layers, width, looked_up, tokens=self.tokens, learned_null=self.learned_null
        )


class CovariateEmbedder(nn.Module):
    """(value, keep) -> a vector and the tokens made of it; the null where hidden or missing.

    embed: (layers, value) -> vector. certainty: of a value, from 1 to 0, where it says nothing and
    is heard as the null; between them lies what is between.
    """

    null: Tensor

    def __init__(
        self,
        layers: nn.Module,
        width: int,
        embed: Callable[[nn.Module, Tensor], Tensor],
        *,
        tokens: int,
        learned_null: bool = True,
        certainty: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.layers, self.embed, self.certainty, self.tokens = layers, embed, certainty, tokens
        if learned_null:
            self.null = nn.Parameter(torch.zeros(width))
        else:
            self.register_buffer("null", torch.zeros(width), persistent=False)
        self.speak = nn.Linear(width, tokens * width) if tokens > 1 else None

    def forward(self, value: Float[Tensor, "b n"], keep: Bool[Tensor, "b"]) -> Signal:
        known = (keep & ~value[:, 0].isnan())[:, None]
        value = torch.where(known, value, 0.0)
        vector = self.embed(self.layers, value)
        null = self.null.to(vector.dtype)
        if self.certainty is not None:
            vector = torch.lerp(null, vector, self.certainty(value)[:, None].to(vector.dtype))
        vector = torch.where(known, vector, null)
        tokens = vector if self.speak is None else self.speak(vector)
        return Signal(vector=vector, tokens=tokens.unflatten(1, (self.tokens, -1)))


def looked_up(layers: nn.Module, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b width"]:
    """The row of an embedding that a value numbers."""
    return layers(value[:, 0].long())


def indicators(value: Float[Tensor, "b 1"], count: int) -> Float[Tensor, "b _"]:
    """Whether a value is each of `count`, but the last, which is none of them."""
    return (value == torch.arange(count - 1, device=value.device)).to(value.dtype)

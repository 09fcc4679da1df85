"""Fields whose values are names: one of a few, a yes or no, one of an order, several of a list."""

import math
from abc import ABC

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainweave.conditions.base import Encode, Value
from brainweave.conditions.covariates import CovariateEmbedder, indicators, looked_up
from brainweave.conditions.metadata import Metadatum
from brainweave.data.words import NONE, parted, yes_or_no
from brainweave.part import hint


class Named(Metadatum, ABC):
    """A field with names for values. A name that is none of them is not known."""

    values: tuple[str, ...] = Field(min_length=1)

    def heard(self, word: str) -> tuple[Value, tuple[str, ...]]:
        index = self._place(word)
        return (self.absent, (word,)) if index is None else ((float(index),), ())

    def needs(self, word: str) -> str:
        return f" is unknown{hint(word, self.values)}"

    def show(self, value: Value) -> str | None:
        return None if math.isnan(value[0]) else self.values[int(value[0])]

    def _place(self, word: str) -> int | None:
        """Where a word stands among the values, whatever the case."""
        lower = [value.lower() for value in self.values]
        return lower.index(word.lower()) if word.lower() in lower else None

    @model_validator(mode="after")
    def _differ(self) -> "Named":
        if len({value.lower() for value in self.values}) < len(self.values):
            raise ValueError(f"{self.name}: a value stands twice in {', '.join(self.values)}")
        return self


class Choice(Named):
    """One of a few names, such as a site."""

    def regressors(self, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b _"]:
        return indicators(value, len(self.values))

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        layers = nn.Embedding(len(self.values), width)
        return CovariateEmbedder(layers, width, looked_up, tokens=self.tokens)


class Ordinal(Named):
    """One of names in an order, from the lowest, such as levels of education.

    The network hears of each level but the first whether it is reached, so that neighbours share
    what is learnt of them.
    """

    def regressors(self, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b _"]:
        return self._reached(value)

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        layers = nn.Linear(len(self.values) - 1, width)
        return CovariateEmbedder(layers, width, self.embed, tokens=self.tokens)

    def embed(self, layers: nn.Module, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b width"]:
        return layers(self._reached(value))

    def _reached(self, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b _"]:
        levels = torch.arange(len(self.values) - 1, device=value.device)
        return (value > levels).to(value.dtype)


class SetOf(Named):
    """Several of a list, none or all, such as diagnoses: "stroke;epilepsy", "none".

    What a list does not name is not there. A name that is none of `values` is left out; where no
    other stands beside it, nothing is known.
    """

    @property
    def size(self) -> int:
        return len(self.values)

    def heard(self, word: str) -> tuple[Value, tuple[str, ...]]:
        names = [name for part in parted(word) if (name := self.called(part)).lower() != NONE]
        there = {self._place(name) for name in names}
        odd = tuple(name for name in names if self._place(name) is None)
        if there == {None}:
            return self.absent, odd
        return tuple(float(index in there) for index in range(self.size)), odd

    def needs(self, word: str) -> str:
        return f" is unknown{hint(word, (*self.values, NONE))}"

    def covers(self, wide: Value, value: Value) -> bool:
        """Whether all that is in `wide` is in the value."""
        return all(there >= asked for asked, there in zip(wide, value, strict=True))

    def show(self, value: Value) -> str | None:
        if math.isnan(value[0]):
            return None
        names = [name for name, there in zip(self.values, value, strict=True) if there]
        return ";".join(names) or NONE

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        layers = nn.Linear(self.size, width)
        return CovariateEmbedder(layers, width, self.embed, tokens=self.tokens)

    def embed(self, layers: nn.Module, value: Float[Tensor, "b n"]) -> Float[Tensor, "b width"]:
        return layers(value)

    def regressors(self, value: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        return value

    @model_validator(mode="after")
    def _fit_into_a_list(self) -> "SetOf":
        for name in self.values:
            if parted(name) != [name] or name.lower() == NONE:
                raise ValueError(f"{self.name}: {name!r} cannot stand in a list; rename it")
        return self


class Binary(Metadatum):
    """Yes or no, such as whether there is a tumour; 1 and 0, true and false, y and n as well."""

    def heard(self, word: str) -> tuple[Value, tuple[str, ...]]:
        found = yes_or_no(word)
        return (self.absent, (word,)) if found is None else ((float(found),), ())

    def needs(self, word: str) -> str:
        return ": yes, no or n/a is needed"

    def show(self, value: Value) -> str | None:
        return None if math.isnan(value[0]) else "yes" if value[0] else "no"

    def regressors(self, value: Float[Tensor, "b 1"]) -> Float[Tensor, "b 1"]:
        return value

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        return CovariateEmbedder(nn.Embedding(2, width), width, looked_up, tokens=self.tokens)

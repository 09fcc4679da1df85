"""Sparse metadata: fields that are often missing, told in many words and by several columns.

A new kind of field is one leaf of `Metadatum` with `heard`, `show`, `embedder` and `embed`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from pydantic import Field, field_validator, model_validator

from brainweave.conditions.base import Covariate, Value, Words
from brainweave.data.cohort import canonical_covariate
from brainweave.data.table import missing, spelled, written
from brainweave.errors import ConditionError

NUISANCE = 0.5  # share of volumes that a nuisance is hidden from


class Metadatum(Covariate, ABC):
    """A field of a subject's metadata.

    columns: of a cohort that tell it beside the one of its own name; the first that is known counts
    and the others may not contradict it. aliases: other words for its values,
    whatever the case. tokens: as in `Scalar`. hide: share of volumes that it is hidden from in
    training; None: `training.drop_conditions`, or half of them for a nuisance; 0: never, even where
    a volume hears nothing else. nuisance: it says how a scan was made, not of whom: site, scanner,
    field strength.
    """

    columns: tuple[str, ...] = ()
    aliases: Mapping[str, str] = Field(default={})
    tokens: int = Field(default=1, ge=1)
    hide: float | None = Field(default=None, ge=0, lt=1)
    nuisance: bool = False

    @property
    def hiding(self) -> float | None:
        return NUISANCE if self.nuisance and self.hide is None else self.hide

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.name, *self.columns)))

    @abstractmethod
    def heard(self, word: str) -> tuple[Value, Sequence[str]]:
        """What a word that is not missing says, and what in it means nothing."""

    @abstractmethod
    def needs(self, word: str) -> str:
        """What an unknown word is answered with."""

    def parse(self, value: str | float, *, extrapolate: bool = False) -> Value:
        return self.wanted({self.name: value}, extrapolate=extrapolate)

    def known(self, words: Words) -> Value:
        told = {c: self._heard(words[c])[0] for c in self.sources if c in words}
        return self.limited(self._one(told, words))

    def wanted(self, words: Words, *, extrapolate: bool = False) -> Value:
        told = {}
        for column in self.sources:
            told[column], odd = self._heard(words.get(column, math.nan))
            if odd:
                raise ConditionError(f"{column}={odd[0]}{self.needs(odd[0])}")
        advice = "; --extrapolate makes it anyway"
        return self.limited(self._one(told, words), extrapolate=extrapolate, advice=advice)

    def unknown(self, words: Words) -> tuple[str, ...]:
        heard = [self._heard(words[column])[1] for column in self.sources if column in words]
        return tuple(word for odd in heard for word in odd)

    def agree(self, one: Value, other: Value) -> bool:
        """Whether two columns may say these of one subject."""
        return one == other

    def limited(self, value: Value, *, extrapolate: bool = False, advice: str = "") -> Value:
        """A value as far as it is within what is trained. Raises ConditionError, with the advice,
        for one that is not at all, unless extrapolating."""
        return value

    def called(self, word: str) -> str:
        """A word in the spelling that its values have."""
        word = spelled(self.name, word.strip())
        other = {alias.lower(): name for alias, name in self.aliases.items()}
        return other.get(word.lower(), word)

    def _heard(self, value: str | float) -> tuple[Value, Sequence[str]]:
        """As `heard`, of anything that a table may hold."""
        word = self.called(written(value))
        return (self.absent, ()) if missing(word) else self.heard(word)

    def _one(self, told: Mapping[str, Value], words: Words) -> Value:
        """The value that all columns tell."""
        known = {column: value for column, value in told.items() if not math.isnan(value[0])}
        first = next(iter(known), None)
        for column, value in known.items():
            if not self.agree(known[str(first)], value):
                raise ConditionError(
                    f"{first}={written(words[str(first)])} and {column}={written(words[column])} "
                    "contradict each other; leave one out"
                )
        return self.absent if first is None else known[first]

    @field_validator("columns")
    @classmethod
    def _are_canonical(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(canonical_covariate(column) for column in columns)

    @model_validator(mode="after")
    def _aliases_mean_something(self) -> "Metadatum":
        for alias, name in self.aliases.items():
            if not missing(name) and self.heard(name)[1]:
                raise ValueError(f"{self.name}: alias {alias!r} stands for the unknown {name!r}")
        return self

"""What a volume may depend on, and how a network hears it.

A new condition is one file with a frozen `Covariate` or `Condition`; dropout, guidance, the command
line and the "is heard" contract test come with it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import field_validator
from torch import Tensor, nn

from brainweave.data.cohort import Subject
from brainweave.errors import ConditionError
from brainweave.part import Part

Encode = Callable[[Tensor], Tensor]
Value = tuple[float, ...]  # of a covariate: `size` numbers, NaN where it is not known
Words = Mapping[str, float | str]  # by the name of a column


@dataclass(frozen=True)
class Signal:
    """All that a network can hear; conditions add up to one.

    vector: joins every residual block (FiLM). tokens: attended to. planes: concatenated to x_t.
    """

    vector: Float[Tensor, "b width"] | None = None
    tokens: Float[Tensor, "b n width"] | None = None
    planes: Float[Tensor, "b c i j k"] | None = None

    def __add__(self, other: "Signal") -> "Signal":
        return Signal(
            vector=_sum(self.vector, other.vector),
            tokens=_stack(self.tokens, other.tokens),
            planes=_stack(self.planes, other.planes),
        )

    def pooled(self) -> "Signal":
        """The vector as the one token, as in FlowLet (arXiv:2601.05212)."""
        tokens = None if self.vector is None else self.vector[:, None]
        return Signal(self.vector, tokens, self.planes)


class Condition(Part, ABC):
    """A named input of the network: a `Covariate`, or volumes."""

    name: str

    @property
    def images(self) -> tuple[str, ...]:
        """The modalities whose volumes it hears; none for a covariate."""
        return ()

    def planes(self, channels: int) -> int:
        """How many channels it adds to x_t, where a volume has `channels` coefficients."""
        return 0

    @property
    def hiding(self) -> float | None:
        """The share of volumes that it is hidden from in training; None: what the training says.
        With 0 it is never hidden, and heard by what guidance compares with."""
        return None

    @abstractmethod
    def embedder(self, width: int, encode: Encode) -> nn.Module:
        """A module (value, keep Bool[b]) -> Signal; it hides values that are not kept.

        value: [b size] of a covariate, else {modality: [b 1 i j k]} of `images`, NaN where a volume
        is missing. encode: volumes [b 1 i j k] to coefficients [b c _ _ _].
        """

    @field_validator("name")
    @classmethod
    def _names_a_module(cls, name: str) -> str:
        if not name or "." in name or hasattr(nn.ModuleDict(), name):
            raise ValueError("this word is taken or has a dot; give the condition another name")
        return name


class Covariate(Condition, ABC):
    """What is known of a subject. A value is `size` numbers; all are NaN where it is not known, as
    the [b size] tensors of a batch have it."""

    @property
    def size(self) -> int:
        """How many numbers a value has."""
        return 1

    @property
    def absent(self) -> Value:
        """The value that says nothing."""
        return (math.nan,) * self.size

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of a cohort that tell it."""
        return (self.name,)

    @abstractmethod
    def parse(self, value: str | float, *, extrapolate: bool = False) -> Value:
        """A user's word as a value. Raises ConditionError outside of what was trained."""

    @abstractmethod
    def known(self, words: Words) -> Value:
        """What columns of a cohort say. Raises ConditionError for the impossible."""

    @abstractmethod
    def show(self, value: Value) -> str | float | None:
        """The user's word for a value; None where it is not known."""

    def wanted(self, words: Words, *, extrapolate: bool = False) -> Value:
        """What a user says by `sources`. Raises ConditionError as `parse` and `known`."""
        return self.parse(words.get(self.name, math.nan), extrapolate=extrapolate)

    def unknown(self, words: Words) -> tuple[str, ...]:
        """The words among them that mean nothing to it and that `known` leaves out."""
        return ()

    def covers(self, wide: Value, value: Value) -> bool:
        """Whether a value is what `wide` says, or a part of it."""
        return value == wide

    def regressors(self, value: Float[Tensor, "b _"]) -> Float[Tensor, "b _"]:
        """What least squares hears of known values, a column each; nothing by default."""
        return value[:, :0]

    def read(self, subject: Subject, modality: str = "") -> Float[Tensor, "_"]:
        """The value of a subject whose volume of a modality is made, in the loader. Raises
        ConditionError for an impossible one."""
        try:
            return torch.tensor(self.known(subject.covariates))
        except ConditionError as error:
            raise ConditionError(f"subject {subject.id!r}: {error}") from None


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _stack(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else torch.cat([a, b], dim=1)

"""What a volume may depend on, and how a network hears it.

A new condition is one file with a frozen `Covariate` or `Condition`; dropout, guidance, the command
line and the "is heard" contract test come with it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from pydantic import field_validator
from torch import Tensor, nn

from brainweave.data.cohort import Subject
from brainweave.part import Part

Encode = Callable[[Tensor], Tensor]


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

    @abstractmethod
    def embedder(self, width: int, encode: Encode) -> nn.Module:
        """A module (value, keep Bool[b]) -> Signal; it hides values that are not kept.

        value: [b 1] of a covariate, else {modality: [b 1 i j k]} of `images`, NaN where a volume
        is missing. encode: volumes [b 1 i j k] to coefficients [b c _ _ _].
        """

    @field_validator("name")
    @classmethod
    def _names_a_module(cls, name: str) -> str:
        if not name or "." in name or hasattr(nn.ModuleDict(), name):
            raise ValueError("this word is taken or has a dot; give the condition another name")
        return name


class Covariate(Condition, ABC):
    """What is known of a subject. Values are [b 1] tensors; NaN is "not known", as any other."""

    @abstractmethod
    def read(self, subject: Subject) -> Float[Tensor, "1"]:
        """The value of a subject, in the loader. Raises ConditionError for an impossible one."""

    @abstractmethod
    def parse(self, value: str | float, *, extrapolate: bool = False) -> float:
        """A user's word as a value. Raises ConditionError outside of what was trained."""

    @abstractmethod
    def show(self, value: float) -> str | float | None:
        """The user's word for a value; None where it is not known."""


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _stack(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else torch.cat([a, b], dim=1)

"""What every network looks like: a frozen config that builds a module."""

from abc import ABC, abstractmethod

from pydantic import Field
from torch import nn

from brainweave.part import Part


class NetworkConfig(Part, ABC):
    """A network as a value.

    condition_width: the width of the vectors and tokens that conditions say (0: hears none).
    pooled_context: attend to one token, the sum of all condition vectors, instead of every
        condition's own tokens.
    """

    condition_width: int = Field(default=512, ge=0)
    pooled_context: bool = False

    @property
    @abstractmethod
    def factor(self) -> int:
        """Every edge of its input must be a multiple of this."""

    @property
    @abstractmethod
    def attends(self) -> bool:
        """Whether it attends to tokens."""

    @abstractmethod
    def build(self, in_channels: int, out_channels: int) -> nn.Module:
        """A module (x [b in i j k], clock [b], signal) -> [b out i j k]."""

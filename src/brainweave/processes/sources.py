"""Sources: where a path starts, x_0.

A new source is one Part with one method, `start`.
"""

from abc import ABC, abstractmethod
from typing import Annotated

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from brainweave.errors import RecipeError
from brainweave.part import Part


class Source(Part, ABC):
    """A distribution of starting points."""

    @property
    @abstractmethod
    def informed(self) -> bool:
        """Whether it starts from something known."""

    @abstractmethod
    def start(
        self, noise: Float[Tensor, "b c *space"], known: Float[Tensor, "b c *space"] | None
    ) -> Float[Tensor, "b c *space"]:
        """x_0 from standard normal noise and what is known."""


class Gaussian(Source):
    """Standard normal noise: generation."""

    @property
    def informed(self) -> bool:
        return False

    def start(self, noise: Tensor, known: Tensor | None) -> Tensor:
        """The noise itself."""
        return noise


class Informed(Source):
    """What is known, such as the mean of the images that are there, plus noise of standard
    deviation `noise`: a bridge from it to the data, so that one or two steps may do
    (arXiv:2604.21146 starts at the mean of three contrasts and adds noise in between)."""

    noise: Annotated[float, Field(ge=0)] = 0.1

    @property
    def informed(self) -> bool:
        return True

    def start(self, noise: Tensor, known: Tensor | None) -> Tensor:
        """known + noise. Raises RecipeError where nothing is known."""
        if known is None:
            raise RecipeError(
                "source Informed starts from images; give the recipe a condition Images"
            )
        return known + self.noise * noise

"""Where a process lives: the contract of every representation.

A new representation is one file with a frozen `Representation` that defines `channels`, `factors`,
`transform` and `invert`; whitening, JSON, contract tests, processes and networks come with it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from brainweave.errors import RecipeError
from brainweave.part import Part


class Representation(Part, ABC):
    """A map from volumes [b 1 i j k] to coefficients [b c i/f j/f k/f] and back.

    `encode` is `finish` after `prepare`: what takes long and never changes is done once for a
    volume and may be kept (`Kept`); what is measured on a cohort comes after it.

    whiten: 0 leaves coefficients as they are. Otherwise each channel loses its mean and is divided
        by this power of its standard deviation, and by one number for all that makes the mean
        square 1: 1 whitens fully; with 0.5 strong channels stay stronger, so that along a path they
        rise from the noise before the weak ones, coarse before fine. `fit` measures the training
        cohort before step 1; `mean` and `std` (the divisor) are then part of the recipe.
    """

    invertible: ClassVar[bool] = True  # whether `decode` gives back what `encode` took

    whiten: float = Field(default=0.0, ge=0, le=1)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of the coefficients of one volume."""

    @property
    @abstractmethod
    def factors(self) -> tuple[int, int, int]:
        """Edges of a volume divided by those of its coefficients."""

    @property
    def keeps(self) -> str | None:
        """What `prepare` depends on, as a hash; None where it does nothing."""
        return None

    def prepare(self, volume: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b _ _ _ _"]:
        """What is done once for a volume; nothing, if not said otherwise."""
        return volume

    @abstractmethod
    def transform(self, prepared: Float[Tensor, "b _ i j k"]) -> Float[Tensor, "b c _ _ _"]:
        """The map itself from what is prepared, before whitening."""

    @abstractmethod
    def invert(self, coefficients: Float[Tensor, "b c _ _ _"]) -> Float[Tensor, "b 1 i j k"]:
        """The inverse of `transform`."""

    @model_validator(mode="after")
    def _statistics_fit(self) -> "Representation":
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std come together or not at all")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("std must be positive in every channel")
        return self

    def encode(self, volume: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b c _ _ _"]:
        """Volumes to (whitened) coefficients. Exact in float32 under any autocast."""
        return self.finish(self.prepare(volume))

    def finish(self, prepared: Float[Tensor, "b _ i j k"]) -> Float[Tensor, "b c _ _ _"]:
        """(Whitened) coefficients of what is prepared."""
        coefficients = self.transform(prepared)
        mean, std = self._statistics(coefficients)
        return (coefficients - mean) / std

    def decode(self, z: Float[Tensor, "b c _ _ _"]) -> Float[Tensor, "b 1 i j k"]:
        """The volumes of coefficients."""
        z = exact(z)
        mean, std = self._statistics(z)
        return self.invert(z * std + mean)

    def within(self, memory: int) -> "Representation":
        """The same with a bound in bytes for what a pass keeps beside its input and output, 0:
        none; itself where no pass can be split."""
        return self

    def fit(self, prepared: Iterable[Float[Tensor, "b _ i j k"]]) -> "Representation":
        """This representation with the channel statistics of a cohort; itself if not `whiten`.

        Raises RecipeError where a channel is constant over the whole cohort.
        """
        if not self.whiten or self.mean is not None:
            return self
        count = 0
        total = square = torch.zeros(self.channels, dtype=torch.float64)
        for volume in prepared:
            rows = self.transform(volume).double().transpose(0, 1).flatten(1)
            count += rows.shape[1]
            total, square = total + rows.sum(1), square + rows.square().sum(1)
        mean = total / max(count, 1)
        std = (square / max(count, 1) - mean.square()).clamp(min=0).sqrt()
        if count == 0 or bool((std < 1e-6).any()):
            raise RecipeError(
                f"{type(self).__name__} cannot be whitened: a channel is constant over the cohort; "
                "set representation.whiten=0"
            )
        divisor = whitening(std, self.whiten)
        return self.replace(mean=tuple(mean.tolist()), std=tuple(divisor.tolist()))

    def unfitted(self) -> "Representation":
        """Without what `fit` measured; statistics that were given stay where it measures none."""
        return self.replace(mean=None, std=None) if self.whiten else self

    def energies(self, prepared: Iterable[Float[Tensor, "b _ i j k"]]) -> tuple[float, ...]:
        """The mean square of each channel's coefficients over a cohort."""
        count, total = 0, torch.zeros(self.channels, dtype=torch.float64)
        for volume in prepared:
            rows = self.finish(volume).double().transpose(0, 1).flatten(1)
            count, total = count + rows.shape[1], total + rows.square().sum(1)
        return tuple((total / max(count, 1)).tolist())

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self.mean or (0.0,), self.std or (1.0,)
        shape = (1, -1, 1, 1, 1)
        return like.new_tensor(mean).view(shape), like.new_tensor(std).view(shape)


def whitening(std: Float[Tensor, "c *space"], power: float) -> Float[Tensor, "c *space"]:
    """What channels, or voxels, of these deviations are divided by: see `Representation.whiten`."""
    return std**power * (std ** (2 - 2 * power)).mean().sqrt()


def uncast(x: Tensor) -> AbstractContextManager[Any]:
    """No autocasting; the meta device, on which arithmetic is counted, has none."""
    device = x.device.type
    return nullcontext() if device == "meta" else torch.autocast(device, enabled=False)


def exact(x: Tensor) -> Tensor:
    """float64 stays, everything else becomes float32."""
    return x if x.dtype == torch.float64 else x.float()

"""Intensity maps: raw voxels to a declared range and back, linear inside a window.

A new map is one Part with one method, `window`, that says which raw values become low and high.
"""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor

from brainweave.errors import VolumeError
from brainweave.part import Part

Window = tuple[float, float]


class Intensity(Part, ABC):
    """A linear map of a window of raw values to [low, high]; values outside it are clipped."""

    low: float
    high: float

    @model_validator(mode="after")
    def _has_a_range(self) -> "Intensity":
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """Low and high."""
        return self.low, self.high

    @property
    def background(self) -> float:
        """The raw value of what is outside of a head."""
        return 0.0

    @property
    def given(self) -> Window:
        """The raw values that low and high become where no volume was measured."""
        return 0.0, 1.0

    @abstractmethod
    def window(self, data: Float[Tensor, "*shape"]) -> Window:
        """The raw values that become low and high.

        Raises VolumeError for data without the contrast or foreground to measure it.
        """

    def apply(self, data: Float[Tensor, "*shape"], window: Window) -> Float[Tensor, "*shape"]:
        """Raw values to [low, high]."""
        start, end = window
        scaled = (data - start) / (end - start) * (self.high - self.low) + self.low
        return scaled.clamp(self.low, self.high)

    def invert(self, x: Float[Tensor, "*shape"], window: Window) -> Float[Tensor, "*shape"]:
        """Raw values of x; what was clipped comes back as the window's ends."""
        start, end = window
        return (x - self.low) / (self.high - self.low) * (end - start) + start


class Percentiles(Intensity):
    """Two percentiles become low and high.

    lower, upper: percentiles in [0, 100] of the voxels > 0, so that the size of the background
        does not move them, or of the whole volume (`foreground=False`), as in FlowLet and cWDM.
        With `foreground` the window reaches down to 0: raw 0 becomes low, and background stays 0
        through `invert`. `lower` then acts on volumes without a foreground near 0 only.
    """

    lower: float = 0.5
    upper: float = 99.5
    low: float = -1.0
    high: float = 1.0
    foreground: bool = True

    @model_validator(mode="after")
    def _are_percentiles(self) -> "Percentiles":
        if not 0 <= self.lower < self.upper <= 100:
            raise ValueError(f"need 0 <= lower < upper <= 100, got {self.lower} and {self.upper}")
        return self

    def window(self, data: Float[Tensor, "*shape"]) -> Window:
        """The two percentiles, interpolated linearly."""
        values = _foreground(data) if self.foreground else _values(data)
        # numpy's: torch.quantile refuses over 2^24 values
        start, end = np.percentile(values, [self.lower, self.upper]).tolist()
        _require_contrast(start, end)
        return (min(start, 0.0) if self.foreground else start), end


class ZScore(Intensity):
    """Mean and standard deviation of the voxels > 0 become 0 and 1; clipped to [low, high]."""

    low: float = -4.0
    high: float = 4.0

    def window(self, data: Float[Tensor, "*shape"]) -> Window:
        """`low` and `high` standard deviations from the mean of the foreground."""
        values = _foreground(data)
        mean, deviation = float(values.mean(dtype=float)), float(values.std(dtype=float))
        _require_contrast(mean, mean + deviation)
        return mean + self.low * deviation, mean + self.high * deviation


class Fixed(Intensity):
    """Given raw values become low and high; nothing is measured. A `source_low` below 0, as air in
    CT (-1000), is also the value of the background."""

    source_low: float
    source_high: float
    low: float = -1.0
    high: float = 1.0

    @model_validator(mode="after")
    def _has_a_source(self) -> "Fixed":
        if not self.source_low < self.source_high:
            raise ValueError(f"source_low {self.source_low} must be below {self.source_high}")
        return self

    @property
    def background(self) -> float:
        return min(self.source_low, 0.0)

    @property
    def given(self) -> Window:
        return self.source_low, self.source_high

    def window(self, data: Float[Tensor, "*shape"]) -> Window:
        """The given values, whatever the data."""
        return self.given


def _values(data: Tensor) -> np.ndarray:
    """All voxels as a vector, in the order of memory (no copy)."""
    if not data.numel():
        raise VolumeError("there are no voxels to measure intensities on")
    return data.detach().cpu().numpy().ravel(order="K")


def _foreground(data: Tensor) -> np.ndarray:
    """The voxels > 0."""
    values = _values(data)
    values = values[values > 0]
    if not values.size:
        raise VolumeError(
            "no voxel is above 0: there is no foreground; check the image or measure all of it"
        )
    return values


def _require_contrast(start: float, end: float) -> None:
    """Two measured values must differ by more than the rounding of float32."""
    if not end - start > 1e-6 * max(abs(start), abs(end)):
        raise VolumeError(
            f"intensities are constant (about {end:g}): there is nothing to scale; "
            "check the image, widen the percentiles or use Fixed"
        )

"""Numbers that are known exactly, within an interval or not at all, heard by one embedding."""

import math

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainweave.conditions.base import Encode, Value
from brainweave.conditions.covariates import CovariateEmbedder
from brainweave.conditions.metadata import Metadatum
from brainweave.data.intervals import interval, worded
from brainweave.data.table import written
from brainweave.errors import ConditionError

_NARROW = 0.01  # of the range: where the logarithm of a width begins to tell widths apart


class Continuous(Metadatum):
    """A number with a unit on a range: 72.5, or the interval that hides it: "60-65", ">89", "<20".

    A value is the lowest and the highest that it may be. The network hears the means over that
    interval of the sines and cosines of `frequencies` waves (the first makes half a turn over [low,
    high], each next one is twice as fast), and the logarithm of its width. Width 0 is the exact
    number; an interval as wide as [low, high] says nothing and is the null. log: the scale on which
    equal distances count alike is the logarithm, as for field strength.
    """

    unit: str = ""
    low: float
    high: float
    log: bool = False
    frequencies: int = Field(default=4, ge=1, le=16)

    @model_validator(mode="after")
    def _is_a_range(self) -> "Continuous":
        if not self.low < self.high:
            raise ValueError(f"{self.name}: low {self.low:g} must be below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"{self.name}: a logarithm needs low above 0, not {self.low:g}")
        return self

    @property
    def size(self) -> int:
        return 2

    def heard(self, word: str) -> tuple[Value, tuple[str, ...]]:
        found = interval(word)
        return (self.absent, (word,)) if found is None else (found, ())

    def needs(self, word: str) -> str:
        return ": a number, an interval such as 60-65 or >89, or n/a is needed"

    def agree(self, one: Value, other: Value) -> bool:
        """Whether they meet; an interval of whole numbers ends where the next number begins."""
        return max(one[0], other[0]) < min(_end(one), _end(other)) or one == other

    def limited(self, value: Value, *, extrapolate: bool = False, advice: str = "") -> Value:
        if math.isnan(value[0]):
            return value
        low, high, exact = max(value[0], self.low), min(value[1], self.high), value[0] == value[1]
        if low < high or (exact and low == high):
            return low, high
        if extrapolate and all(map(math.isfinite, value)):
            return value
        span = f"{written(self.low)} to {written(self.high)}"
        word = self.show(value) if exact else worded(value, -math.inf, math.inf)
        raise ConditionError(f"{self.name}={written(word)} is outside the trained {span}{advice}")

    def covers(self, wide: Value, value: Value) -> bool:
        return wide[0] <= value[0] and value[1] <= wide[1]

    def show(self, value: Value) -> str | float | None:
        return None if math.isnan(value[0]) else worded(value, self.low, self.high)

    def regressors(self, value: Float[Tensor, "b 2"]) -> Float[Tensor, "b 2"]:
        """Means over the interval of the number and of its square."""
        if self.log:
            return self._squared(value.log(), math.log(self.low), math.log(self.high))
        return self._squared(value, self.low, self.high)

    def _squared(self, value: Float[Tensor, "b 2"], low: float, high: float) -> Tensor:
        a, b = ((value - low) / (high - low)).unbind(1)
        return torch.stack([(a + b) / 2, (a * a + a * b + b * b) / 3], dim=1)

    def embedder(self, width: int, encode: Encode | None = None) -> nn.Module:
        features = 2 * self.frequencies + 1
        layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))
        return CovariateEmbedder(
            layers, width, self.embed, tokens=self.tokens, certainty=self.certainty
        )

    def embed(self, layers: nn.Module, value: Float[Tensor, "b 2"]) -> Float[Tensor, "b width"]:
        low, high = self._placed(value).unbind(1)
        waves = interval_fourier(low, high, self.frequencies)
        width = torch.log1p((high - low) / _NARROW) / math.log1p(1 / _NARROW)
        return layers(torch.cat([waves, width[:, None]], dim=1))

    def certainty(self, value: Float[Tensor, "b 2"]) -> Float[Tensor, "b"]:
        """1 for an exact number, 0 for one that may lie anywhere in [low, high]."""
        low, high = self._placed(value).unbind(1)
        anywhere = (value[:, 0] <= self.low) & (value[:, 1] >= self.high)
        return torch.where(anywhere, 0.0, (1 - (high - low)).clamp(0, 1))

    def _placed(self, value: Float[Tensor, "b 2"]) -> Float[Tensor, "b 2"]:
        """[low, high] as [0, 1]."""
        if not self.log:
            return (value - self.low) / (self.high - self.low)
        least = 1e-6 * self.low  # 0 stands where nothing is known
        return (value.clamp(min=least) / self.low).log() / math.log(self.high / self.low)


def interval_fourier(
    low: Float[Tensor, "b"], high: Float[Tensor, "b"], frequencies: int
) -> Float[Tensor, "b f"]:
    """The means of sin(w a) and cos(w a) for a uniform on [low, high], with w = pi 2^j for j from 0
    up: those at the middle, times sin(w h) / (w h) for the half width h. They are sin(w a) and
    cos(w a) at width 0 and vanish as the width grows."""
    waves = math.pi * 2.0 ** torch.arange(frequencies, device=low.device)
    middle = (low + high)[:, None] / 2 * waves
    fading = torch.sinc((high - low)[:, None] / 2 * waves / math.pi)
    return torch.cat([middle.sin() * fading, middle.cos() * fading], dim=1)


def _end(value: Value) -> float:
    """Where an interval ends: ages from "60-65" are below 66, an exact one is itself."""
    low, high = value
    if low == high:
        return math.nextafter(high, math.inf)
    whole = all(math.isinf(end) or float(end).is_integer() for end in value)
    return high + 1 if whole else math.nextafter(high, math.inf)

"""Frequency-adaptive schedules: a path that every channel follows at a pace of its own."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor

from brainweave.errors import RecipeError
from brainweave.processes.paths import Coefficients, ProbabilityPath, Rectified


class FrequencyAdaptive(ProbabilityPath):
    """`path` with the log-SNR, log(alpha^2 / sigma^2), of every channel moved by an offset.

    Each channel stays on the path's curve in the plane of (alpha, sigma) and keeps its ends; with
    an offset above 0 it rises from the noise earlier. As if the data of the channel were scaled by
    exp(offset / 2) while the network still sees all channels at one scale (one factor for all:
    arXiv:2301.10972).
    offsets: one per channel; None until `fit` has measured a cohort. strength: 1 lets the data of
        all channels pass 0 dB at the same time, 0 is `path`, below 0 strong channels, the coarse
        ones, lead still more than they do by themselves.
    Raises RecipeError for a path that is neither a line nor a circle.
    """

    path: ProbabilityPath = Rectified()
    offsets: tuple[float, ...] | None = None
    strength: float = 1.0

    @model_validator(mode="after")
    def _path_has_a_curve(self) -> "FrequencyAdaptive":
        if self.path.curve is None:
            raise ValueError(
                f"the path {self.path!r} is neither a line, alpha + sigma = 1, nor a circle, "
                "alpha^2 + sigma^2 = 1; take Rectified without sigma_min, Trigonometric, "
                "VariancePreserving or DDPM"
            )
        return self

    def coefficients(self, t: Float[Tensor, "*b"]) -> Coefficients:
        """One column per channel, [*b c]: alpha s / n and sigma / n with s = exp(offset / 2) and
        n^p = (alpha s)^p + sigma^p. Raises RecipeError before `fit`."""
        if self.offsets is None:
            raise RecipeError(
                "FrequencyAdaptive has no offsets yet: training measures them before its first "
                "step; or give one per channel"
            )
        assert self.path.curve is not None
        p, base = self.path.curve, self.path.coefficients(t)
        alpha, sigma, d_alpha, d_sigma = (value[..., None] for value in base)
        s = (alpha.new_tensor(self.offsets) / 2).exp()
        n = ((alpha * s) ** p + sigma**p) ** (1 / p)
        shrink = n ** (p + 1)  # from the quotient rule and the curve, without 0 * inf at the end
        return Coefficients(alpha * s / n, sigma / n, d_alpha * s / shrink, d_sigma * s**p / shrink)

    def training_times(self, u: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Those of `path`."""
        return self.path.training_times(u)

    def clock(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """That of `path`."""
        return self.path.clock(t)

    @property
    def wants_energies(self) -> bool:
        """Until it has offsets."""
        return self.offsets is None

    def fit(self, energies: Sequence[float]) -> "FrequencyAdaptive":
        """With offsets -strength log(energy / mean energy).

        energies: the mean square of each channel's coefficients over the training cohort.
        Raises RecipeError for a channel without any.
        """
        for channel, energy in enumerate(energies):
            if not 0 < energy < math.inf:
                raise RecipeError(
                    f"channel {channel} has energy {energy} over the cohort; FrequencyAdaptive "
                    "needs one above 0 in every channel, so use its path alone"
                )
        mean = sum(energies) / len(energies)
        offsets = tuple(-self.strength * math.log(energy / mean) for energy in energies)
        return self.replace(offsets=offsets)

    def unfitted(self) -> "FrequencyAdaptive":
        """Without offsets."""
        return self.replace(offsets=None)

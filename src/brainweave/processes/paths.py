"""Gaussian probability paths: how noise becomes data.

Every path is  x_t = alpha(t) x_1 + sigma(t) x_0,  with x_0 ~ N(0, I) noise, x_1 data,
t = 0 pure noise and t = 1 clean data (arXiv:2210.02747, section 4).
A new path is one Part with one method, `coefficients`.
"""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from brainweave.errors import RecipeError
from brainweave.part import Part, hint

logger = logging.getLogger(__name__)


class Coefficients(NamedTuple):
    """alpha(t), sigma(t) and their derivatives by t."""

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor


class ProbabilityPath(Part, ABC):
    """A schedule (alpha, sigma) from noise to data."""

    @abstractmethod
    def coefficients(self, t: Float[Tensor, "*b"]) -> Coefficients:
        """The schedule at times `t`: each of the shape of `t`, or [*b, c] for one per channel."""

    def training_times(self, u: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Times from uniform draws `u` in [0, 1)."""
        return u

    def clock(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The time a network is told."""
        return t

    @property
    def curve(self) -> int | None:
        """The p of alpha^p + sigma^p = 1 at all times, None where there is no such p."""
        return None

    @property
    def wants_energies(self) -> bool:
        """Whether it has to be fitted to a cohort before it has coefficients."""
        return False

    def fit(self, energies: Sequence[float]) -> "ProbabilityPath":
        """This path for data whose channels have these mean squares; itself if they are nothing
        to it."""
        return self

    def unfitted(self) -> "ProbabilityPath":
        """This path before `fit`."""
        return self

    def at(self, t: Tensor | float, like: Float[Tensor, "b ..."]) -> Coefficients:
        """The schedule at one time, or at one per volume, ready to multiply `like`.

        Computed in float64; of the dtype and device of `like`, [b 1 1 1 1] or [b c 1 1 1].
        """
        t = torch.as_tensor(t, dtype=torch.float64).expand(len(like))
        return Coefficients(
            *(
                c.to(like).reshape(*c.shape, *[1] * (like.ndim - c.ndim))
                for c in self.coefficients(t)
            )
        )


class Rectified(ProbabilityPath):
    """Straight lines: rectified flow (arXiv:2209.03003), and with `sigma_min` > 0 the
    conditional optimal transport path of flow matching (arXiv:2210.02747, eq. 20-21)."""

    sigma_min: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def coefficients(self, t: Float[Tensor, "*b"]) -> Coefficients:
        """alpha = t, sigma = 1 - (1 - sigma_min) t."""
        one, slope = torch.ones_like(t), 1 - self.sigma_min
        return Coefficients(t, 1 - slope * t, one, -slope * one)

    @property
    def curve(self) -> int | None:
        """A line, unless noise is left at its end."""
        return None if self.sigma_min else 1


class Trigonometric(ProbabilityPath):
    """A quarter circle of constant norm (arXiv:2209.15571)."""

    def coefficients(self, t: Float[Tensor, "*b"]) -> Coefficients:
        """alpha = sin(pi t / 2), sigma = cos(pi t / 2)."""
        angle, rate = t * math.pi / 2, math.pi / 2
        sigma = (rate * (1 - t)).sin()  # not cos(angle): exactly 0 at t = 1
        return Coefficients(angle.sin(), sigma, rate * sigma, -rate * angle.sin())

    @property
    def curve(self) -> int | None:
        """A circle."""
        return 2


class VariancePreserving(ProbabilityPath):
    """The VP diffusion path with a linear beta(s), s = 1 - t (arXiv:2011.13456, eq. 32-33)."""

    beta_min: Annotated[float, Field(gt=0)] = 0.1
    beta_max: Annotated[float, Field(gt=0)] = 20.0

    def coefficients(self, t: Float[Tensor, "*b"]) -> Coefficients:
        """alpha^2 = exp(-integral of beta from 0 to 1 - t), sigma^2 = 1 - alpha^2."""
        s, rise = 1 - t, self.beta_max - self.beta_min
        return _variance_preserving(
            -(self.beta_min * s + 0.5 * rise * s**2), d_log_abar=self.beta_min + rise * s
        )

    def training_times(self, u: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Below 1, where d_sigma diverges."""
        return u * (1 - 1e-5)

    @property
    def curve(self) -> int | None:
        """A circle."""
        return 2


class DDPM(ProbabilityPath):
    """The discrete path of arXiv:2006.11239 with linear betas, exact at its `steps` grid points
    and log-linear in between, so that every sampler can also run it in continuous time.

    chain: if given, the betas are those of a chain of so many steps, of which `steps` evenly spaced
        ones are kept, both ends among them; the clock counts the kept ones. This is the "sampled"
        schedule of Fast-cWDM; its "direct" one is beta_first = 0.1 / steps, beta_last = 20 / steps.
    """

    steps: Annotated[int, Field(ge=1)] = 1000
    beta_first: Annotated[float, Field(gt=0)] = 1e-4
    beta_last: Annotated[float, Field(gt=0)] = 0.02
    chain: int | None = None

    @model_validator(mode="after")
    def _steps_leave_signal(self) -> "DDPM":
        beta = max(self.beta_first, self.beta_last)
        if beta >= 1:
            raise ValueError(
                f"a beta of {beta:g} leaves no signal; betas lie below 1, so that a schedule of "
                "20 / steps needs more than 20 steps"
            )
        if self.chain is not None and not 2 <= self.steps <= self.chain:
            raise ValueError(
                f"{self.steps} steps cannot be kept of a chain of {self.chain}; keep 2 or more, at "
                "most all"
            )
        return self

    def coefficients(self, t: Float[Tensor, "*b"]) -> Coefficients:
        """alpha^2 = product of (1 - beta); slopes at a grid point are the mean of both sides."""
        log_abar = _ddpm_table(self.steps, self.beta_first, self.beta_last, self.chain)
        log_abar = log_abar.to(t.device)
        position = (self.steps * (1 - t.double())).clamp(0, self.steps)
        grid = position.round()
        position = torch.where((position - grid).abs() < 1e-6, grid, position)
        left = position.floor().long().clamp(max=self.steps - 1)
        before = (position.ceil().long() - 1).clamp(min=0)  # = left between grid points
        rises = log_abar.diff()
        value = log_abar[left] + (position - left) * rises[left]
        rise = (rises[left] + rises[before]) / 2
        return _variance_preserving(value.to(t.dtype), (-self.steps * rise).to(t.dtype))

    def training_times(self, u: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """The grid points, noisiest (t = 0) to almost clean (t = 1 - 1 / steps)."""
        return (u * self.steps).floor() / self.steps

    def clock(self, t: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """k = steps - 1 is noisiest, k = 0 almost clean."""
        return self.steps * (1 - t) - 1

    @property
    def curve(self) -> int | None:
        """A circle."""
        return 2


NAMES: dict[str, type[ProbabilityPath]] = {
    "rectified": Rectified,
    "cfm": Rectified,
    "trigonometric": Trigonometric,
    "vp": VariancePreserving,
    "vp_diffusion": VariancePreserving,
    "ddpm": DDPM,
}


def path_named(name: str) -> ProbabilityPath:
    """The path of this name with its default numbers. Raises RecipeError for an unknown name."""
    if name not in NAMES:
        raise RecipeError(f"unknown path {name!r}{hint(name, NAMES)}")
    if name == "cfm":
        logger.warning(
            "path cfm is the same objective as rectified, as (x1 - x_t) / (1 - t) = x1 - x0; "
            "using Rectified"
        )
    return NAMES[name]()


def _variance_preserving(log_abar: Tensor, d_log_abar: Tensor) -> Coefficients:
    """alpha^2 = abar, sigma^2 = 1 - abar."""
    alpha, sigma = (0.5 * log_abar).exp(), (-torch.expm1(log_abar)).sqrt()
    return Coefficients(
        alpha, sigma, 0.5 * d_log_abar * alpha, -0.5 * d_log_abar * alpha**2 / sigma
    )


@lru_cache
def _ddpm_table(steps: int, first: float, last: float, chain: int | None) -> Tensor:
    """log of the cumulated product of (1 - beta), from 0 at k = 0 (clean), [steps + 1]."""
    betas = torch.linspace(first, last, chain or steps, dtype=torch.float64)
    if chain is not None:
        kept = torch.arange(steps, dtype=torch.float64) * ((chain - 1) / (steps - 1))
        kept[-1] = chain - 1  # cut off, not rounded, and in numpy.linspace's order of operations
        abar = (1 - betas).cumprod(0)[kept.long()]
        before = torch.cat([abar.new_ones(1), abar[:-1]])
        betas = (1 - abar / before).clamp(1e-4, 0.999)  # as released
    return torch.cat([betas.new_zeros(1), torch.log1p(-betas).cumsum(0)])
